SELECT tenant_id, prices_version FROM tenant WHERE tenant_id = ANY($1)
