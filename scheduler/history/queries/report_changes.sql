-- Regressions and improvements that began between $since_s and $until_s; found again, the latest finding counts.
SELECT CAST(series AS VARCHAR) AS series, metric, epoch(changed_at) AS changed_at_s,
  "before", "after", effect, p_value, severity, direction, smallest_visible,
  coalesce(cause, '') AS cause, coalesce(note, '') AS note
FROM changes c
WHERE changed_at >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
  AND changed_at < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
  AND (CAST($model AS VARCHAR) IS NULL OR json_extract_string(series, '$.model') = $model)
QUALIFY row_number() OVER (PARTITION BY series, metric, changed_at ORDER BY c."at" DESC) = 1
ORDER BY changed_at DESC
LIMIT $max_rows
