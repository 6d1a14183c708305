-- Deletes the keys of events ($2 sources, $3 keys).
DELETE FROM external_key
USING unnest($2::text[], $3::text[]) AS gone (source, key)
WHERE external_key.tenant_id = $1 AND external_key.source = gone.source AND external_key.key = gone.key
