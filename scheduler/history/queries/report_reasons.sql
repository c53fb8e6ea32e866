-- Why requests went where they went between $since_s and $until_s.
SELECT model, browser, coalesce(routing_reason, '') AS reason, count(*) AS n
FROM runs r
WHERE r."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
  AND r."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
  AND (CAST($model AS VARCHAR) IS NULL OR model = $model)
GROUP BY ALL
ORDER BY n DESC, model, browser, reason
LIMIT $max_rows
