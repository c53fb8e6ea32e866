-- The latest documents of one kind of experiment, or of all kinds.
SELECT epoch(e.at) AS at_s, coalesce(e.kind, '') AS kind, coalesce(e.model, '') AS model,
  coalesce(e.verdict, '') AS verdict, e.document::VARCHAR AS document
FROM experiments e WHERE CAST($kind AS VARCHAR) IS NULL OR e.kind = $kind
ORDER BY e.at DESC LIMIT $max_rows
