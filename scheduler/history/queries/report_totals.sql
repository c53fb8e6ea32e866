-- One row: what there is between $since_s and $until_s (epoch) of $model (NULL: all); old runs by their hourly figures.
WITH counted AS (
  SELECT 1 AS n, (ok IS FALSE)::INTEGER AS n_failed, coalesce(is_simulation, FALSE)::INTEGER AS n_simulated,
    model, browser, worker, session, r."at"
  FROM runs r
  WHERE r."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
    AND r."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
    AND (CAST($model AS VARCHAR) IS NULL OR model = $model)
  UNION ALL
  SELECT n, n_failed, 0, model, browser, NULL, NULL, r."at"
  FROM runs_hourly r
  WHERE r."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
    AND r."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
    AND (CAST($model AS VARCHAR) IS NULL OR model = $model)
)
SELECT
  CAST(coalesce(sum(n), 0) AS BIGINT) AS n_runs,
  CAST(coalesce(sum(n_failed), 0) AS BIGINT) AS n_failed,
  CAST(coalesce(sum(n_simulated), 0) AS BIGINT) AS n_simulated,
  count(DISTINCT model) AS n_models,
  count(DISTINCT browser) AS n_browsers,
  count(DISTINCT (worker, session)) FILTER (session IS NOT NULL) AS n_sessions,
  epoch(min("at")) AS first_s
FROM counted
