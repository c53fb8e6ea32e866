-- Rows that were sent and never came: the stream, or a worker's buffer, was full.
SELECT source, n_rows, n_dropped, s.at AS last_heard FROM sources s WHERE n_dropped > 0 ORDER BY s.at DESC
