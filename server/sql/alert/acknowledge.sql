-- Of several acknowledgements the first stands.
UPDATE alert SET acknowledge_time = $3, acknowledged_by = $4, note = $5
WHERE tenant_id = $1 AND alert_id = $2 AND acknowledge_time IS NULL
