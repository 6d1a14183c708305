SELECT tenant_id, name FROM tenant WHERE name = ANY ($1)
