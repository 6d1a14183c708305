SELECT external_key.source, external_key.key, external_key.event_id
FROM unnest($2::text[], $3::text[]) AS wanted (source, key)
JOIN external_key ON external_key.tenant_id = $1
    AND external_key.source = wanted.source AND external_key.key = wanted.key
