-- The key with its first secret; nothing where the request was made before.
WITH made AS (
    INSERT INTO api_key (tenant_id, api_key_id, display_name, permissions, pinned, expire_time, request_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (tenant_id, request_id) DO NOTHING
    RETURNING tenant_id, api_key_id
)
INSERT INTO api_key_secret (tenant_id, secret_id, api_key_id, digest)
SELECT made.tenant_id, $8, made.api_key_id, $9 FROM made
RETURNING api_key_id
