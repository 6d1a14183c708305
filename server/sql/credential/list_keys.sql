-- Newest first: ids rise with time.
SELECT
    api_key_id, display_name, permissions, pinned, granted_tenants, create_time, expire_time, revoke_time, last_use_time
FROM api_key
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR api_key_id < $2) AND ($3 OR revoke_time IS NULL)
ORDER BY api_key_id DESC
LIMIT $4
