UPDATE api_key SET granted_tenants = $3 WHERE tenant_id = $1 AND api_key_id = $2
