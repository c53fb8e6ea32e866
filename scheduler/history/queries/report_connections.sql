-- What became of sessions between $since_s and $until_s: how often each, and the last reason given.
SELECT browser, event, count(*) AS n, max(epoch(c."at")) AS last_at_s,
  arg_max(reason, c."at") FILTER (coalesce(reason, '') <> '') AS last_reason
FROM connections c
WHERE c."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
  AND c."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
GROUP BY browser, event
ORDER BY browser, n DESC, event
