-- Each model on each browser and backend between $since_s and $until_s: how quick, how reliable, on what.
SELECT
  model, browser, backend, coalesce(precision, '') AS precision,
  arg_max(browser_build, r."at") AS browser_build,
  arg_max(adapter, r."at") AS adapter,
  arg_max(is_software, r."at") AS is_software,
  count(*) AS n,
  count(*) FILTER (ok IS FALSE) AS n_failed,
  quantile_cont(service_ms, 0.5) FILTER (counts) AS p50_ms,
  quantile_cont(service_ms, 0.95) FILTER (counts) AS p95_ms,
  quantile_cont(total_ms, 0.5) FILTER (ok IS NOT FALSE) AS total_p50_ms,
  quantile_cont(memory_mb, 0.5) AS memory_mb
FROM (
  SELECT *, ok IS NOT FALSE AND coalesce(load_ms, 0) = 0 AS counts,
    coalesce(compute_ms + coalesce(readback_ms, 0) + coalesce(bridge_ms, 0), total_ms - coalesce(queue_ms, 0)) AS service_ms
  FROM runs
) r
WHERE r."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
  AND r."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
  AND (CAST($model AS VARCHAR) IS NULL OR model = $model)
  AND NOT coalesce(is_simulation, FALSE) AND backend IS NOT NULL
GROUP BY model, browser, backend, precision
ORDER BY model, p50_ms NULLS LAST, browser, backend
LIMIT $max_rows
