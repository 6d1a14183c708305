-- Open reservations, locked, in the order of their ids.
SELECT
    reservation_id, state, create_time, expire_time, end_time, sequence, fingerprint, context, parts, progress
FROM reservation
WHERE tenant_id = $1 AND state = 1 AND ($2::uuid IS NULL OR reservation_id > $2)
ORDER BY reservation_id
LIMIT $3
FOR UPDATE
