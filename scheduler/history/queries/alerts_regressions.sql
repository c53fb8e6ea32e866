-- Series whose latest change since $since_s (epoch) was for the worse: what is not undone yet.
SELECT CAST(series AS VARCHAR) AS series, metric, epoch(changed_at) AS changed_at_s,
  "before", "after", severity, coalesce(cause, '') AS cause
FROM (
  FROM changes
  WHERE changed_at >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
  QUALIFY row_number() OVER (PARTITION BY series, metric ORDER BY changed_at DESC, changes."at" DESC) = 1
)
WHERE direction = 'regression' AND severity IN ('medium', 'high')
ORDER BY changed_at DESC
LIMIT 100
