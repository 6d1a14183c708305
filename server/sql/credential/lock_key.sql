-- Rotations of a key take turns.
SELECT
    revoke_time IS NOT NULL AS "revoked!",
    granted_tenants <> '{}' AS "speaks_for_others!",
    (
        SELECT count(*) FROM api_key_secret AS secret
        WHERE secret.tenant_id = api_key.tenant_id AND secret.api_key_id = api_key.api_key_id
            AND (secret.expire_time IS NULL OR secret.expire_time > now())
    ) AS "secrets!"
FROM api_key
WHERE tenant_id = $1 AND api_key_id = $2
FOR UPDATE
