-- First rows that are corrected, locked in the order of their ids: one correction of an event at a time.
-- Joined, so that each id is looked for in its own partition, also by a plan for any values.
SELECT event.event_id
FROM (SELECT DISTINCT unnest($2::uuid[]) AS event_id) AS wanted
JOIN usage_event AS event ON event.tenant_id = $1 AND event.event_id = wanted.event_id
ORDER BY event.event_id
FOR UPDATE OF event
