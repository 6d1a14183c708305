-- By the id inside of a secret: the tenant is part of the answer.
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
WHERE secret.secret_id = $1
