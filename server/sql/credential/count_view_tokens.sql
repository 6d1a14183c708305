SELECT count(*) AS "count!" FROM view_token WHERE tenant_id = $1 AND expire_time > now()
