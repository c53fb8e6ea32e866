-- Runs of the laboratory between $since_s and $until_s, the latest first, without their documents.
SELECT epoch(e."at") AS at_s, coalesce(kind, '') AS kind, coalesce(model, '') AS model,
  coalesce(verdict, '') AS verdict, coalesce(fingerprint, '') AS machine
FROM experiments e
WHERE e."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
  AND e."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
  AND (CAST($model AS VARCHAR) IS NULL OR list_contains(string_split(model, ', '), $model))
ORDER BY e."at" DESC
LIMIT $max_rows
