-- The latest documents of one kind of experiment.
SELECT epoch(e.at) AS at_s, e.document::VARCHAR AS document
FROM experiments e WHERE e.kind = $kind ORDER BY e.at DESC LIMIT $max_rows
