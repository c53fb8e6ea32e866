-- Runs of the laboratory after $since_s, the latest first, without their documents.
SELECT epoch(e."at") AS at_s, coalesce(kind, '') AS kind, coalesce(model, '') AS model,
  coalesce(verdict, '') AS verdict, coalesce(fingerprint, '') AS machine
FROM experiments e
WHERE e."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
ORDER BY e."at" DESC
LIMIT 100
