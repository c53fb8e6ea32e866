-- What is known of each model on each browser and backend: sums over its runs, weighed by their age in two ways.
-- `fresh` forgets within minutes, so that a slowdown is seen; `old` remembers for days, so that a model that is
-- asked for once a day is not forgotten. x: ln of the batch size; y: ln of a run's own milliseconds.
WITH weighed AS (
  SELECT family, model, precision, browser, backend,
         -- By what ran as well, where that is wanted.
         CASE WHEN $with_flags THEN coalesce(CAST(flags AS VARCHAR), '') ELSE '' END AS flags, ok, error_code, coalesce(load_ms, 0) > 0 AS loading,
         pow(0.5, epoch($now::TIMESTAMP - r.at) / $fresh_s) AS fresh,
         pow(0.5, epoch($now::TIMESTAMP - r.at) / $old_s) AS old,
         ln(greatest(coalesce(batch_size, 1), 1)) AS x,
         ln(greatest(total_ms - coalesce(queue_ms, 0) - coalesce(load_ms, 0) - coalesce(compile_ms, 0)
                     - coalesce(warmup_ms, 0), 0.01)) AS y
  FROM runs r
  WHERE r.at BETWEEN $since::TIMESTAMP AND $now::TIMESTAMP AND NOT coalesce(is_simulation, false)
    -- A result that was kept says nothing of how fast it is computed.
    AND coalesce(CAST(r.flags AS VARCHAR), '') NOT LIKE '%"tensor_sharing": true%'
), good AS (
  SELECT * FROM weighed WHERE ok AND NOT loading
)
SELECT family, model, precision, browser, backend, flags, count(*) AS n_runs, 0 AS n_failed, 0.0 AS failed_weight,
       sum(fresh) AS fresh_w, sum(fresh * x) AS fresh_x, sum(fresh * y) AS fresh_y,
       sum(fresh * x * x) AS fresh_xx, sum(fresh * x * y) AS fresh_xy, sum(fresh * y * y) AS fresh_yy,
       sum(old) AS old_w, sum(old * x) AS old_x, sum(old * y) AS old_y,
       sum(old * x * x) AS old_xx, sum(old * x * y) AS old_xy, sum(old * y * y) AS old_yy
FROM good GROUP BY family, model, precision, browser, backend, flags
UNION ALL
-- A failure that says something of the browser; it has no backend, since none did it.
SELECT family, model, precision, browser, '' AS backend, '' AS flags, 0, count(*), sum(fresh),
       0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
FROM weighed
WHERE NOT ok AND error_code IN ('Unsupported', 'OutOfMemory', 'BadOutput', 'BrowserDied', 'PageSilent',
                                'DeviceLost', 'BridgeClosed', 'SessionLost', 'PageFault', 'BackendFault')
GROUP BY family, model, precision, browser
ORDER BY ALL
