-- By the id inside of a token: the tenant is part of the answer.
SELECT
    token.digest,
    token.tenant_id,
    tenant.name AS tenant_name,
    token.scopes,
    token.expire_time,
    now() AS "now!"
FROM view_token AS token
JOIN tenant ON tenant.tenant_id = token.tenant_id
WHERE token.secret_id = $1
