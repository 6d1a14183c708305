SELECT
    reservation_id, state, create_time, expire_time, end_time, sequence, fingerprint, context, parts, progress
FROM reservation
WHERE tenant_id = $1 AND reservation_id = $2
