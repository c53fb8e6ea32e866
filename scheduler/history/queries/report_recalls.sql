-- Runs of each model between $since_s and $until_s that took results which an earlier run had computed, of one $model or of
-- all.
WITH told AS (
  SELECT model, browser, backend, coalesce(precision, '') AS precision,
    coalesce(CAST(flags AS VARCHAR) LIKE '%"tensor_sharing": true%', FALSE) AS took
  FROM runs r
  WHERE r."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
    AND r."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
    AND (CAST($model AS VARCHAR) IS NULL OR model = $model)
    AND ok IS NOT FALSE AND NOT coalesce(is_simulation, FALSE)
)
SELECT model, browser, backend, precision, count(*) AS n, count(*) FILTER (took) AS n_took
FROM told
GROUP BY model, browser, backend, precision
HAVING count(*) FILTER (took) > 0
ORDER BY n_took DESC, model, browser, backend, precision
LIMIT $max_rows
