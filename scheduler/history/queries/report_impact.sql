-- Each flag on against off, on the same model, browser, backend, precision, batch size and environment.
-- A request that does not name a flag has it off.
-- One sample is the mean ln(milliseconds in the page) of a session's runs within an hour: runs beside each other are not
-- independent. `pairs` are hours of a session that ran both; the others are compared as two groups.
WITH wanted AS (
  SELECT CAST(flags AS VARCHAR) AS flags, model, browser, backend,
    coalesce(precision, '') AS precision, batch_size, fingerprint, worker, session,
    date_trunc('hour', r."at") AS hour,
    ln(compute_ms + coalesce(preprocess_ms, 0) + coalesce(readback_ms, 0) + coalesce(postprocess_ms, 0)) AS ln_ms
  FROM runs r
  WHERE r."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
    AND r."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
    AND (CAST($model AS VARCHAR) IS NULL OR model = $model)
    AND NOT coalesce(is_simulation, FALSE) AND ok IS NOT FALSE AND compute_ms > 0
),
-- Grouped as text first, so that each kind of request is read once and not each run.
kinds AS (
  SELECT flags, model, browser, backend, precision, batch_size, fingerprint, worker, session, hour,
    count(*) AS n, sum(ln_ms) AS ln_sum
  FROM wanted GROUP BY ALL
),
texts AS (
  SELECT flags, TRY_CAST(CAST(flags AS JSON) AS MAP(VARCHAR, VARCHAR)) AS read FROM (SELECT DISTINCT flags FROM kinds)
),
names AS (
  SELECT DISTINCT entry.key AS flag FROM (SELECT unnest(map_entries(read)) AS entry FROM texts)
  WHERE entry.value = 'true'
),
states AS (SELECT flags, flag, coalesce(read[flag] = 'true', FALSE) AS is_on FROM texts CROSS JOIN names),
blocks AS (
  SELECT flag, model, browser, backend, precision, batch_size, fingerprint,
    sum(n) FILTER (is_on) AS n_on, sum(n) FILTER (NOT is_on) AS n_off,
    sum(ln_sum) FILTER (is_on) / sum(n) FILTER (is_on) AS ln_on,
    sum(ln_sum) FILTER (NOT is_on) / sum(n) FILTER (NOT is_on) AS ln_off
  FROM kinds JOIN states ON kinds.flags IS NOT DISTINCT FROM states.flags
  GROUP BY flag, model, browser, backend, precision, batch_size, fingerprint, worker, session, hour
)
SELECT flag, model, browser, backend, precision, batch_size, fingerprint,
  CAST(sum(b.n_on) AS BIGINT) AS n_on, CAST(sum(b.n_off) AS BIGINT) AS n_off,
  count(ln_on) AS blocks_on, avg(ln_on) AS mean_on, var_samp(ln_on) AS var_on,
  count(ln_off) AS blocks_off, avg(ln_off) AS mean_off, var_samp(ln_off) AS var_off,
  count(ln_on - ln_off) AS pairs, avg(ln_on - ln_off) AS mean_pair, var_samp(ln_on - ln_off) AS var_pair
FROM blocks b
GROUP BY flag, model, browser, backend, precision, batch_size, fingerprint
HAVING sum(b.n_on) > 0 AND sum(b.n_off) > 0
ORDER BY sum(b.n_on) + sum(b.n_off) DESC, flag, model, browser
LIMIT $max_rows
