-- What models of each browser's sessions shared between $since_s and $until_s: graphs and kept results where a session saved
-- most, and what was taken from kept results or computed within the span. Counters begin anew with a session's lanes.
WITH read AS (
  SELECT browser, worker, session, h."at",
    coalesce(CAST(sharing ->> '$.graphs.n_parts' AS BIGINT), 0) AS n_graphs,
    coalesce(CAST(sharing ->> '$.graphs.n_references' AS BIGINT), 0) AS n_uses,
    coalesce(CAST(sharing ->> '$.graphs.saved_bytes' AS BIGINT), 0) AS saved_bytes,
    coalesce(CAST(sharing ->> '$.results.n_results' AS BIGINT), 0) AS n_results,
    coalesce(CAST(sharing ->> '$.results.size_bytes' AS BIGINT), 0) AS result_bytes,
    coalesce(CAST(sharing ->> '$.results.hits' AS BIGINT), 0) AS hits,
    coalesce(CAST(sharing ->> '$.results.misses' AS BIGINT), 0) AS misses,
    coalesce(CAST(sharing ->> '$.results.hit_bytes' AS BIGINT), 0) AS hit_bytes
  FROM health h
  -- An hour more: what was counted before the span is not of it.
  WHERE h."at" >= make_timestamp(CAST(($since_s - 3600) * 1e6 AS BIGINT))
    AND h."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
),
stepped AS (
  SELECT *,
    CASE WHEN hits < lag(hits, 1, 0) OVER one THEN hits ELSE hits - lag(hits, 1, 0) OVER one END AS new_hits,
    CASE WHEN misses < lag(misses, 1, 0) OVER one THEN misses ELSE misses - lag(misses, 1, 0) OVER one END AS new_misses,
    CASE WHEN hit_bytes < lag(hit_bytes, 1, 0) OVER one THEN hit_bytes ELSE hit_bytes - lag(hit_bytes, 1, 0) OVER one
    END AS new_bytes
  FROM read
  WINDOW one AS (PARTITION BY worker, session ORDER BY "at")
),
sessions AS (
  SELECT browser,
    max({'saved': saved_bytes, 'uses': n_uses, 'graphs': n_graphs}) AS most,
    max({'bytes': result_bytes, 'n': n_results}) AS kept,
    sum(new_hits) AS hits, sum(new_misses) AS misses, sum(new_bytes) AS hit_bytes
  FROM stepped s
  WHERE s."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
  GROUP BY browser, worker, session
)
SELECT browser, count(*) AS n_sessions,
  CAST(sum(most.graphs) AS BIGINT) AS n_graphs, CAST(sum(most.uses) AS BIGINT) AS n_uses,
  CAST(sum(most.saved) AS BIGINT) AS saved_bytes,
  CAST(sum(kept.n) AS BIGINT) AS n_results, CAST(sum(kept.bytes) AS BIGINT) AS result_bytes,
  CAST(sum(hits) AS BIGINT) AS hits, CAST(sum(misses) AS BIGINT) AS misses, CAST(sum(hit_bytes) AS BIGINT) AS hit_bytes
FROM sessions
GROUP BY browser
HAVING sum(most.graphs) > 0 OR sum(hits) + sum(misses) > 0
ORDER BY browser
