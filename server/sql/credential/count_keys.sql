SELECT count(*) AS "count!" FROM api_key WHERE tenant_id = $1 AND revoke_time IS NULL
