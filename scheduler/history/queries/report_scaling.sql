-- Decisions on how many sessions or workers there are, between $since_s and $until_s; newest first.
SELECT epoch(s."at") AS at_s, scope, name, action, n_from, n_to, reason, coalesce(dry_run, FALSE) AS dry_run
FROM scaling s
WHERE s."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
  AND s."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
ORDER BY s."at" DESC
LIMIT $max_rows
