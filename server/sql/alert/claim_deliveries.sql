-- Takes deliveries that are due, and puts their next attempt off, so that a replica that dies on the way loses none of them.
-- Whatever another replica takes at the same moment is passed over. The clock is asked once: a condition on it as it moves on
-- could not be looked for in the index.
UPDATE alert_delivery AS delivery
SET attempts = delivery.attempts + 1, next_attempt_time = clock_timestamp() + $3::bigint * interval '1 millisecond'
FROM (
    SELECT alert_id
    FROM alert_delivery
    WHERE tenant_id = $1 AND next_attempt_time <= (SELECT clock_timestamp())
    ORDER BY next_attempt_time
    LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS due
WHERE delivery.tenant_id = $1 AND delivery.alert_id = due.alert_id
RETURNING delivery.alert_id, delivery.attempts
