-- At most once a minute and key, however many replicas tell of it.
UPDATE api_key SET last_use_time = now()
FROM unnest($1::integer[], $2::uuid[]) AS used (tenant_id, api_key_id)
WHERE api_key.tenant_id = used.tenant_id AND api_key.api_key_id = used.api_key_id
    AND (api_key.last_use_time IS NULL OR api_key.last_use_time < now() - interval '1 minute')
