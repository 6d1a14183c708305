-- First rows that are corrected, locked in the order of their ids: one correction of an event at a time.
SELECT event_id
FROM usage_event
WHERE tenant_id = $1 AND event_id = ANY($2)
ORDER BY event_id
FOR UPDATE
