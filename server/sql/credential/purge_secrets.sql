-- A while after their end, so that a late caller is told of it.
DELETE FROM api_key_secret
WHERE (tenant_id, secret_id) IN (
    SELECT tenant_id, secret_id FROM api_key_secret
    WHERE expire_time < now() - $1::bigint * interval '1 microsecond' ORDER BY expire_time LIMIT $2
)
