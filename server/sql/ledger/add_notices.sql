-- Notices that only charging shows, after the event was inserted.
UPDATE usage_event SET notices = usage_event.notices | added.notices
FROM unnest($2::uuid[], $3::smallint[]) AS added (event_id, notices)
WHERE usage_event.tenant_id = $1 AND usage_event.event_id = added.event_id
