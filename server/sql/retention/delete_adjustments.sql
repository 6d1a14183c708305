-- Deletes the corrections of events. Their sums are sealed.
DELETE FROM usage_adjustment WHERE tenant_id = $1 AND event_id = ANY($2)
