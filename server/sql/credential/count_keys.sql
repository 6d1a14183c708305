-- Those that work.
SELECT count(*) AS "count!" FROM api_key
WHERE tenant_id = $1 AND revoke_time IS NULL AND (expire_time IS NULL OR expire_time > now())
