-- Oldest first, after one position and up to another; of all budgets and of none, or of these.
SELECT
    alert_id, position, create_time, event_id, reservation_id, subject, acknowledge_time, acknowledged_by, note
FROM alert
WHERE tenant_id = $1
    AND position > $2 AND position <= $3
    AND (cardinality($4::bigint[]) = 0 OR budget_number = ANY($4))
ORDER BY position
LIMIT $5
