SELECT tenant_id, name, create_time FROM tenant ORDER BY tenant_id LIMIT $1
