-- Long after their end, with the secrets that are left.
WITH ended AS MATERIALIZED (
    SELECT tenant_id, api_key_id FROM api_key
    WHERE (revoke_time IS NOT NULL OR expire_time IS NOT NULL)
        AND least(revoke_time, expire_time) < now() - $1::bigint * interval '1 microsecond'
    ORDER BY least(revoke_time, expire_time) LIMIT $2
),
secrets AS (
    DELETE FROM api_key_secret USING ended
    WHERE api_key_secret.tenant_id = ended.tenant_id AND api_key_secret.api_key_id = ended.api_key_id
)
DELETE FROM api_key USING ended
WHERE api_key.tenant_id = ended.tenant_id AND api_key.api_key_id = ended.api_key_id
