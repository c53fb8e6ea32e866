-- Browsers that had work at their sessions' last look.
SELECT browser
FROM (
  SELECT browser, worker, session, arg_max(queued, h.at) AS queued, arg_max(running, h.at) AS running
  FROM health h
  WHERE h.at > now()::TIMESTAMP - INTERVAL 2 MINUTE
  GROUP BY browser, worker, session
)
WHERE queued > 0 OR running > 0
GROUP BY browser
