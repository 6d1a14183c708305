SELECT count(*) AS "count!" FROM (SELECT 1 FROM shape WHERE tenant_id = $1 ORDER BY shape_id LIMIT $2) AS few
