INSERT INTO alert_delivery (tenant_id, alert_id, next_attempt_time)
SELECT $1, alert_id, $3 FROM unnest($2::uuid[]) AS alert_id
