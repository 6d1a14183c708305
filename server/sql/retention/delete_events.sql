-- Deletes events. Their sums are sealed.
DELETE FROM usage_event WHERE tenant_id = $1 AND event_id = ANY($2)
