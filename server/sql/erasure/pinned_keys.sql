-- Keys that pin anything; whether they work.
SELECT
    api_key_id, pinned,
    revoke_time IS NULL AND (expire_time IS NULL OR expire_time > clock_timestamp()) AS "works!"
FROM api_key
WHERE tenant_id = $1 AND pinned <> '{}'
