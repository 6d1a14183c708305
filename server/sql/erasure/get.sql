SELECT erasure_id, stage, create_time, done_time, events_erased
FROM erasure
WHERE tenant_id = $1 AND erasure_id = $2
