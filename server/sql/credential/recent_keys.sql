-- Secrets that work, of the keys that were used last, whosever they are: the columns of `find_key.sql`.
SELECT
    secret.secret_id,
    secret.digest,
    secret.tenant_id,
    tenant.name AS tenant_name,
    api_key.api_key_id,
    api_key.permissions,
    api_key.pinned,
    api_key.revoke_time IS NOT NULL AS "revoked!",
    least(api_key.expire_time, secret.expire_time) AS expire_time,
    ARRAY(
        SELECT granted.tenant_id FROM tenant AS granted
        WHERE granted.tenant_id = ANY (api_key.granted_tenants) ORDER BY granted.tenant_id
    ) AS "granted_ids!",
    ARRAY(
        SELECT granted.name FROM tenant AS granted
        WHERE granted.tenant_id = ANY (api_key.granted_tenants) ORDER BY granted.tenant_id
    ) AS "granted_names!",
    now() AS "now!"
FROM api_key_secret AS secret
JOIN api_key ON api_key.tenant_id = secret.tenant_id AND api_key.api_key_id = secret.api_key_id
JOIN tenant ON tenant.tenant_id = secret.tenant_id
WHERE api_key.last_use_time > now() - $1::bigint * interval '1 microsecond'
    AND api_key.revoke_time IS NULL
    AND (api_key.expire_time IS NULL OR api_key.expire_time > now())
    AND (secret.expire_time IS NULL OR secret.expire_time > now())
ORDER BY api_key.last_use_time DESC
LIMIT $2
