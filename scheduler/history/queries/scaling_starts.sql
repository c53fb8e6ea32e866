-- The usual time from a decision for more workers of $queue since $since_s (epoch) until the first new browser was there.
SELECT median(epoch(opened."at") - epoch(grown."at")) AS start_s
FROM (
  FROM scaling s
  WHERE scope = 'queue' AND name = $queue AND n_to > n_from AND NOT coalesce(dry_run, FALSE)
    AND s."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
) grown
ASOF JOIN (
  FROM connections c WHERE event = 'opened' AND browser = split_part($queue, '-', 1)
) opened ON grown."at" <= opened."at"
