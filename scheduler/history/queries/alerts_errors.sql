-- Runs since $since_s (epoch) by model and browser where any failed, without those that failed by what was asked
-- ($excused: error codes, comma separated); the codes with their counts, commonest first.
WITH counted AS (
  SELECT model, browser, CASE WHEN ok THEN NULL ELSE coalesce(error_code, 'unknown') END AS code, count(*) AS n
  FROM runs
  WHERE runs."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
    AND (ok OR coalesce(error_code, '') NOT IN (SELECT unnest(string_split($excused, ','))))
  GROUP BY ALL
)
SELECT coalesce(model, '') AS model, coalesce(browser, '') AS browser, CAST(sum(n) AS BIGINT) AS n,
  CAST(coalesce(sum(n) FILTER (code IS NOT NULL), 0) AS BIGINT) AS n_failed,
  coalesce(string_agg(code || ' ' || n, ', ' ORDER BY n DESC, code) FILTER (code IS NOT NULL), '') AS codes
FROM counted
GROUP BY model, browser
HAVING n_failed > 0
ORDER BY n_failed DESC, model, browser
LIMIT 100
