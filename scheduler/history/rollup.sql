-- Runs that are too old to be kept one by one, as figures of each hour.
INSERT INTO runs_hourly BY NAME
SELECT date_trunc('hour', r.at) AS "at",
       browser, browser_build, driver, os, adapter, is_software, webinfer_version, fingerprint,
       family, model, revision, precision, backend, batch_size, flags,
       count(*) AS n, count(*) FILTER (NOT ok) AS n_failed,
       quantile_cont(compute_ms, 0.5) FILTER (ok) AS compute_p50_ms,
       quantile_cont(compute_ms, 0.95) FILTER (ok) AS compute_p95_ms,
       quantile_cont(service_ms, 0.5) FILTER (ok) AS service_p50_ms,
       quantile_cont(service_ms, 0.95) FILTER (ok) AS service_p95_ms,
       quantile_cont(total_ms, 0.5) FILTER (ok) AS total_p50_ms,
       quantile_cont(total_ms, 0.95) FILTER (ok) AS total_p95_ms,
       quantile_cont(memory_mb, 0.5) AS memory_p50_mb
FROM (
  SELECT *, total_ms - coalesce(queue_ms, 0) - coalesce(load_ms, 0) - coalesce(compile_ms, 0)
            - coalesce(warmup_ms, 0) AS service_ms
  FROM runs
) r
WHERE r.at < $until::TIMESTAMP
GROUP BY ALL
