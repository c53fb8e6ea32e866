-- Flower's charts: the busiest lines (model, browser, backend) since $since_s (epoch), in buckets of $bucket_s seconds.
WITH recent AS (
  SELECT *, ok IS NOT FALSE AS went_well
  FROM runs r
  WHERE r."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT)) AND NOT coalesce(is_simulation, FALSE)
    AND backend IS NOT NULL
),
busiest AS (
  SELECT model, browser, backend FROM recent
  GROUP BY ALL ORDER BY count(*) DESC, model, browser, backend LIMIT $max_lines
)
SELECT
  model, browser, backend,
  floor(epoch(recent."at") / $bucket_s) * $bucket_s AS at_s,
  count(*) AS n,
  count(*) FILTER (NOT went_well) AS n_failed,
  quantile_cont(total_ms, 0.5) FILTER (went_well) AS p50_ms,
  quantile_cont(total_ms, 0.95) FILTER (went_well) AS p95_ms,
  quantile_cont(coalesce(broker_ms, 0) + queue_ms, 0.95) FILTER (went_well) AS queue_p95_ms,
  quantile_cont(memory_mb, 0.5) AS memory_mb
FROM recent SEMI JOIN busiest USING (model, browser, backend)
GROUP BY ALL
ORDER BY at_s, model, browser, backend
