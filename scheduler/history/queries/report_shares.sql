-- Which browser answered how many runs, in buckets of $bucket_s seconds between $since_s and $until_s.
SELECT browser, CAST(floor(epoch(r."at") / $bucket_s) * $bucket_s AS BIGINT) AS at_s, count(*) AS n
FROM runs r
WHERE r."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
  AND r."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
  AND (CAST($model AS VARCHAR) IS NULL OR model = $model)
GROUP BY ALL
ORDER BY browser, at_s
