-- When the first and the latest run that Flower's charts can show began (epoch); NULL where there is none.
SELECT epoch(min(r."at")) AS first_s, epoch(max(r."at")) AS last_s
FROM runs r
WHERE NOT coalesce(is_simulation, FALSE) AND backend IS NOT NULL
