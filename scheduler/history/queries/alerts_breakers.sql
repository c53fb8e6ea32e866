-- Sessions whose latest sample of health since $since_s (epoch) shows an open breaker.
SELECT worker, session, browser
FROM (
  FROM health
  WHERE health."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
  QUALIFY row_number() OVER (PARTITION BY worker, session ORDER BY health."at" DESC) = 1
)
WHERE upper(breaker) = 'OPEN'
ORDER BY worker, session
