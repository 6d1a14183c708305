-- Never later than they would expire in any case.
UPDATE api_key_secret SET expire_time = least(expire_time, now() + $3::bigint * interval '1 microsecond')
WHERE tenant_id = $1 AND api_key_id = $2
