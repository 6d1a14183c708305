SELECT reservation_id FROM reservation
WHERE tenant_id = $1 AND state = 1 AND expire_time <= clock_timestamp()
ORDER BY expire_time
LIMIT $2
FOR UPDATE SKIP LOCKED
