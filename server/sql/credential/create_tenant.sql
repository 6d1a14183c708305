INSERT INTO tenant (tenant_id, name)
SELECT coalesce(max(tenant_id), 0) + 1, $1 FROM tenant
ON CONFLICT (name) DO NOTHING
RETURNING tenant_id, name, create_time
