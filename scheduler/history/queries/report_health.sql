-- The health of each browser's sessions between $since_s and $until_s, in buckets of $bucket_s seconds.
WITH sampled AS (
  SELECT browser, worker, session, score, breaker,
    CAST(floor(epoch(h."at") / $bucket_s) * $bucket_s AS BIGINT) AS at_s
  FROM health h
  WHERE h."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
    AND h."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
)
SELECT browser, at_s, avg(score) AS score, min(score) AS worst,
  avg((upper(breaker) = 'OPEN')::INTEGER) AS open_share, count(DISTINCT (worker, session)) AS n_sessions
FROM sampled
GROUP BY browser, at_s
ORDER BY browser, at_s
