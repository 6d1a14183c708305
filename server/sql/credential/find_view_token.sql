-- By the id inside of a token: the tenant is part of the answer. It ends with the key that made it.
SELECT
    token.digest,
    token.tenant_id,
    tenant.name AS tenant_name,
    token.scopes,
    maker.revoke_time IS NOT NULL AS "revoked!",
    least(token.expire_time, maker.expire_time) AS "expire_time!",
    now() AS "now!"
FROM view_token AS token
JOIN tenant ON tenant.tenant_id = token.tenant_id
LEFT JOIN api_key AS maker ON maker.api_key_id = token.api_key_id
WHERE token.secret_id = $1
