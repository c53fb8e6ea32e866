-- When each request of $queue since $since_s (epoch) was sent, and the lane's time it took: requests of one batch share it.
SELECT
  epoch(r."at") - (coalesce(broker_ms, 0) + total_ms) / 1000 AS sent_s,
  CASE WHEN ok IS NOT FALSE THEN
    (total_ms - coalesce(queue_ms, 0) - coalesce(load_ms, 0) - coalesce(compile_ms, 0) - coalesce(warmup_ms, 0))
      / greatest(coalesce(batch_size, 1), 1)
  END AS service_ms
FROM runs r
WHERE queue = $queue AND r."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT)) AND total_ms IS NOT NULL
ORDER BY sent_s
