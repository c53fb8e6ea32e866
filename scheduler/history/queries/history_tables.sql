-- How many rows each table holds, and from when to when.
SELECT 'runs' AS "table", count(*) AS n_rows, min(t.at) AS oldest, max(t.at) AS newest FROM runs t
UNION ALL SELECT 'runs_hourly', count(*), min(t.at), max(t.at) FROM runs_hourly t
UNION ALL SELECT 'loads', count(*), min(t.at), max(t.at) FROM loads t
UNION ALL SELECT 'connections', count(*), min(t.at), max(t.at) FROM connections t
UNION ALL SELECT 'health', count(*), min(t.at), max(t.at) FROM health t
UNION ALL SELECT 'capabilities', count(*), min(t.at), max(t.at) FROM capabilities t
UNION ALL SELECT 'scaling', count(*), min(t.at), max(t.at) FROM scaling t
UNION ALL SELECT 'alerts', count(*), min(t.at), max(t.at) FROM alerts t
UNION ALL SELECT 'routing', count(*), min(t.at), max(t.at) FROM routing t
UNION ALL SELECT 'changes', count(*), min(t.at), max(t.at) FROM changes t
UNION ALL SELECT 'experiments', count(*), min(t.at), max(t.at) FROM experiments t
