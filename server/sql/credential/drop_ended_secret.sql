-- Of a key that ended, or of an end of its own: what it was may be that of another key.
DELETE FROM api_key_secret USING api_key
WHERE api_key_secret.secret_id = $1
    AND api_key.tenant_id = api_key_secret.tenant_id AND api_key.api_key_id = api_key_secret.api_key_id
    AND (
        api_key.revoke_time IS NOT NULL
        OR least(api_key.expire_time, api_key_secret.expire_time) <= now()
    )
