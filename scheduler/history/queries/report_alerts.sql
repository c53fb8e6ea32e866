-- Alerts opened and closed between $since_s and $until_s; newest first.
SELECT epoch(a."at") AS at_s, key, severity, title, text, state
FROM alerts a
WHERE a."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
  AND a."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
ORDER BY a."at" DESC
LIMIT $max_rows
