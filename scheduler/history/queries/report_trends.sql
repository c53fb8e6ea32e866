-- The busiest $max_charts of (model, backend, precision), a line a browser, in buckets of $bucket_s seconds.
-- Latency is as in regression_samples.sql: without the queue, and of runs that had not to load their model first.
-- A bucket of hours that are kept as hourly figures only shows the mean of their medians, weighted by runs.
WITH wanted AS (
  SELECT *, ok IS NOT FALSE AND coalesce(load_ms, 0) = 0 AS counts,
    coalesce(compute_ms + coalesce(readback_ms, 0) + coalesce(bridge_ms, 0), total_ms - coalesce(queue_ms, 0)) AS service_ms
  FROM runs r
  WHERE r."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
    AND r."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
    AND (CAST($model AS VARCHAR) IS NULL OR model = $model)
    AND NOT coalesce(is_simulation, FALSE) AND backend IS NOT NULL
),
hours AS (
  SELECT * FROM runs_hourly r
  WHERE r."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
    AND r."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
    AND (CAST($model AS VARCHAR) IS NULL OR model = $model) AND backend IS NOT NULL
),
drawn AS (
  SELECT model, backend, coalesce(precision, '') AS precision, sum(n) AS n_runs, count(*) OVER () AS n_charts
  FROM (
    SELECT model, backend, precision, count(*) AS n FROM wanted GROUP BY ALL
    UNION ALL
    SELECT model, backend, precision, sum(n) FROM hours GROUP BY ALL
  )
  GROUP BY ALL
  ORDER BY n_runs DESC, model, backend, precision
  LIMIT $max_charts
),
points AS (
  SELECT model, backend, coalesce(precision, '') AS precision, browser,
    CAST(floor(epoch(wanted."at") / $bucket_s) * $bucket_s AS BIGINT) AS at_s,
    count(*) AS n,
    count(*) FILTER (ok IS FALSE) AS n_failed,
    quantile_cont(service_ms, 0.5) FILTER (counts) AS p50_ms,
    quantile_cont(service_ms, 0.95) FILTER (counts) AS p95_ms,
    quantile_cont(memory_mb, 0.5) AS memory_mb,
    sum(batch_size) FILTER (counts) * 1000.0 / nullif(sum(service_ms) FILTER (counts), 0) AS items_per_s
  FROM wanted GROUP BY ALL
),
old_points AS (
  SELECT model, backend, coalesce(precision, '') AS precision, browser,
    CAST(floor(epoch(hours."at") / $bucket_s) * $bucket_s AS BIGINT) AS at_s,
    CAST(sum(n) AS BIGINT) AS n,
    CAST(sum(n_failed) AS BIGINT) AS n_failed,
    sum(service_p50_ms * n) / nullif(sum(n) FILTER (service_p50_ms IS NOT NULL), 0) AS p50_ms,
    max(service_p95_ms) AS p95_ms,
    max(memory_p50_mb) AS memory_mb,
    sum(batch_size * n) * 1000.0 / nullif(sum(service_p50_ms * n), 0) AS items_per_s
  FROM hours GROUP BY ALL
)
SELECT points.*, drawn.n_runs::BIGINT AS n_runs, drawn.n_charts
FROM (
  FROM points UNION ALL FROM old_points o
  WHERE NOT EXISTS (
    FROM points p
    WHERE (p.model, p.backend, p.precision, p.at_s) = (o.model, o.backend, o.precision, o.at_s)
      AND p.browser IS NOT DISTINCT FROM o.browser
  )
) points JOIN drawn USING (model, backend, precision)
ORDER BY n_runs DESC, model, backend, precision, browser, at_s
