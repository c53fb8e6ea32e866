-- What a browser could do other than before, found between $since_s and $until_s; newest first.
WITH told AS (
  SELECT c."at", browser, browser_build, feature, value,
    lag(value) OVER past AS value_before, lag(browser_build) OVER past AS build_before,
    row_number() OVER past AS nth
  FROM capabilities c
  WHERE c."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
  WINDOW past AS (PARTITION BY browser, feature ORDER BY c."at")
)
SELECT epoch(told."at") AS at_s, browser, feature, value_before, value, build_before, browser_build
FROM told
WHERE nth > 1 AND value IS DISTINCT FROM value_before
  AND told."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
ORDER BY told."at" DESC
LIMIT $max_rows
