-- Newest first, below a position: where the page before ended.
SELECT
    alert_id, position, create_time, event_id, reservation_id, subject, acknowledge_time, acknowledged_by, note
FROM alert
WHERE tenant_id = $1
    AND ($2::bigint IS NULL OR position < $2)
    AND ($3::timestamptz IS NULL OR create_time >= $3)
    AND ($4::timestamptz IS NULL OR create_time < $4)
    AND (NOT $5 OR acknowledge_time IS NULL)
    AND ($6::bigint IS NULL OR budget_number = $6)
ORDER BY position DESC
LIMIT $7
