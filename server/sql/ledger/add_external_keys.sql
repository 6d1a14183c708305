INSERT INTO external_key (tenant_id, source, key, event_id)
SELECT $1, wanted.source, wanted.key, wanted.event_id
FROM unnest($2::text[], $3::text[], $4::uuid[]) AS wanted (source, key, event_id)
ON CONFLICT DO NOTHING
