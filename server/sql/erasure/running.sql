SELECT dimension, pseudonym, key AS "key!", scopes
FROM erasure
WHERE tenant_id = $1 AND done_time IS NULL AND key IS NOT NULL
ORDER BY create_time
