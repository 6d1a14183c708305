UPDATE erasure SET
    stage = $3, position = $4, events_erased = events_erased + $5
WHERE tenant_id = $1 AND erasure_id = $2
