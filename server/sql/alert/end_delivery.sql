-- What became of an attempt: delivered, to be tried again, or given up. Another replica may have delivered it meanwhile, where
-- this one was slow: that stands.
UPDATE alert_delivery
SET
    last_error = $3,
    deliver_time = CASE WHEN $4 THEN clock_timestamp() END,
    next_attempt_time = clock_timestamp() + $5::bigint * interval '1 millisecond'
WHERE tenant_id = $1 AND alert_id = $2 AND deliver_time IS NULL
