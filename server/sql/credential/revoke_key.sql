UPDATE api_key SET revoke_time = coalesce(revoke_time, now()) WHERE tenant_id = $1 AND api_key_id = $2
