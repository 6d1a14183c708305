SELECT tenant_id, name FROM tenant ORDER BY tenant_id
