SELECT count(*) AS "count!" FROM (SELECT 1 FROM price_sheet WHERE tenant_id = $1 LIMIT $2) AS few
