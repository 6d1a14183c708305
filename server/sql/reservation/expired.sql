-- The clock is asked once: a condition on it as it moves on could not be looked for in the index.
SELECT reservation_id FROM reservation
WHERE tenant_id = $1 AND state = 1 AND expire_time <= (SELECT clock_timestamp())
ORDER BY expire_time
LIMIT $2
FOR UPDATE SKIP LOCKED
