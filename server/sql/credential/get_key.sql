SELECT
    api_key_id, display_name, permissions, pinned, granted_tenants, create_time, expire_time, revoke_time, last_use_time
FROM api_key
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR api_key_id = $2) AND ($3::uuid IS NULL OR request_id = $3)
    AND ($2 IS NOT NULL OR $3 IS NOT NULL)
