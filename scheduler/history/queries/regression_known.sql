-- The changes reported that began after $since_s (epoch).
SELECT CAST(series AS VARCHAR) AS series, metric, epoch(changed_at) AS changed_at, direction, sample_s
FROM changes
WHERE changed_at >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
