INSERT INTO view_token (tenant_id, secret_id, digest, scopes, expire_time, api_key_id)
VALUES ($1, $2, $3, $4, now() + $5::bigint * interval '1 microsecond', $6)
RETURNING expire_time
