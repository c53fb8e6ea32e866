-- Samples of $sample_s seconds since $since_s (epoch): a row a series and environment, its samples as lists.
-- A sample is the median of its runs, of which there must be $min_runs. Latency is the page's own and the way
-- there and back: how long a request waited in the queue says how much was asked, not how fast it is answered.
-- Runs that had to load their model first are left out.
WITH served AS (
  SELECT *, coalesce(compute_ms + coalesce(readback_ms, 0) + coalesce(bridge_ms, 0), total_ms - coalesce(queue_ms, 0)) AS service_ms
  FROM runs r
  WHERE r."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
    AND r."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
    AND ok IS NOT FALSE AND NOT coalesce(is_simulation, FALSE)
    AND model IS NOT NULL AND backend IS NOT NULL AND coalesce(load_ms, 0) = 0
),
samples AS (
  SELECT
    model, browser, backend, precision, batch_size, os, adapter, CAST(flags AS VARCHAR) AS flags,
    browser_build, driver, webinfer_version, revision,
    floor(epoch(served."at") / $sample_s) * $sample_s AS at_s,
    quantile_cont(service_ms, 0.5) AS latency,
    1000.0 * sum(batch_size) / nullif(sum(service_ms), 0) AS throughput,
    quantile_cont(memory_mb, 0.5) AS memory
  FROM served
  GROUP BY ALL
  HAVING count(*) >= $min_runs
)
SELECT
  model, browser, backend, precision, batch_size, os, adapter, flags,
  browser_build, driver, webinfer_version, revision,
  list(at_s ORDER BY at_s) AS at_s,
  list(latency ORDER BY at_s) AS latency,
  list(throughput ORDER BY at_s) AS throughput,
  list(memory ORDER BY at_s) AS memory
FROM samples
GROUP BY ALL
ORDER BY ALL
