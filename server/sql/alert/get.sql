SELECT
    alert_id, position, create_time, event_id, reservation_id, subject, acknowledge_time, acknowledged_by, note
FROM alert
WHERE tenant_id = $1 AND alert_id = ANY($2)
ORDER BY position
