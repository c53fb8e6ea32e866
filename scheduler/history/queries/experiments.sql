-- Runs of the laboratory between $since_s and $until_s, the latest first; the documents of the first
-- $max_documents, without what only later runs need: blocks, sessions and single latencies.
WITH found AS (
  SELECT *, row_number() OVER (ORDER BY e."at" DESC) AS place FROM experiments e
  WHERE e."at" >= make_timestamp(CAST($since_s * 1e6 AS BIGINT))
    AND e."at" < make_timestamp(CAST($until_s * 1e6 AS BIGINT))
    AND (CAST($model AS VARCHAR) IS NULL OR list_contains(string_split(model, ', '), $model))
), slim AS (
  SELECT f.*, CASE
    WHEN place > $max_documents THEN NULL
    WHEN kind = 'compare' THEN json_merge_patch(document, '{"blocks": null}')
    WHEN kind = 'gate' THEN json_merge_patch(document, json_object('cells', list_transform(
      json_extract(document, '$.cells[*]'), lambda cell: json_merge_patch(cell, '{"starts": null}'))))
    WHEN kind = 'load' THEN json_merge_patch(document, json_object('runs', list_transform(
      json_extract(document, '$.runs[*]'), lambda run: json_merge_patch(run, '{"latencies_ms": null}'))))
    WHEN kind = 'peers' THEN json_merge_patch(document, json_object('peers', list_transform(
      json_extract(document, '$.peers[*]'), lambda peer: json_merge_patch(peer, '{"times_ms": null}'))))
    ELSE document
  END AS told
  FROM found f
)
SELECT epoch(s."at") AS at_s, coalesce(kind, '') AS kind, coalesce(model, '') AS model,
  coalesce(verdict, '') AS verdict, coalesce(fingerprint, '') AS machine,
  CASE WHEN length(told::VARCHAR) <= 200000 THEN told::VARCHAR END AS document
FROM slim s
ORDER BY s."at" DESC
LIMIT $max_rows
