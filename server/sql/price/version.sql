SELECT prices_version FROM tenant WHERE tenant_id = $1
