-- The condition of each browser's sessions at their last look, within two minutes of $now.
SELECT browser, count(*) AS n_sessions, max(score) AS best_score,
       count(*) FILTER (upper(breaker) IN ('', 'CLOSED')) AS n_closed
FROM (
  SELECT browser, worker, session, arg_max(score, h.at) AS score, arg_max(coalesce(breaker, ''), h.at) AS breaker
  FROM health h
  WHERE h.at > $now::TIMESTAMP - INTERVAL 2 MINUTE
  GROUP BY browser, worker, session
)
GROUP BY browser ORDER BY browser
