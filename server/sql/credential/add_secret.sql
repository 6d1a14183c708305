INSERT INTO api_key_secret (tenant_id, secret_id, api_key_id, digest) VALUES ($1, $2, $3, $4)
