-- One replica at a time goes on with an erasure.
SELECT erasure_id, dimension, symbol_id, pseudonym, key AS "key!", scopes, stage, position
FROM erasure
WHERE tenant_id = $1 AND done_time IS NULL AND key IS NOT NULL
ORDER BY create_time
LIMIT 1
FOR UPDATE SKIP LOCKED
