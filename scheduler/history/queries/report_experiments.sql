-- Runs of the laboratory since a time, the latest first, without their documents but for the matrices' cells.
SELECT epoch(e.at) AS at_s, e.kind, coalesce(e.model, '') AS model, e.verdict, e.fingerprint, e.webinfer_version
FROM experiments e
WHERE e.at >= make_timestamp(($since_s * 1000000)::BIGINT) AND ($model IS NULL OR contains(e.model, $model))
ORDER BY e.at DESC LIMIT $max_rows
