-- The routing table as it was published last before $until_s, a row a model, browser, backend and precision.
SELECT model, browser, backend, coalesce(precision, '') AS precision,
  arg_max(family, r."at") AS family, arg_max(score, r."at") AS score, arg_max(share, r."at") AS share,
  arg_max(reason, r."at") AS reason, max(epoch(r."at")) AS at_s
FROM routing r
WHERE r."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
  AND (CAST($model AS VARCHAR) IS NULL OR model = $model)
GROUP BY model, browser, backend, precision
ORDER BY model, share DESC NULLS LAST, browser, backend
LIMIT $max_rows
