-- The oldest events before the first id that is kept.
SELECT event_id FROM usage_event WHERE tenant_id = $1 AND event_id < $2 ORDER BY event_id LIMIT $3
