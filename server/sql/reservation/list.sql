SELECT
    reservation_id, state, create_time, expire_time, end_time, sequence, fingerprint, context, parts, progress
FROM reservation
WHERE tenant_id = $1
    AND (cardinality($2::smallint[]) = 0 OR state = ANY($2))
    AND ($3::jsonb IS NULL OR parts @> $3)
    AND ($4::uuid IS NULL OR reservation_id < $4)
ORDER BY reservation_id DESC
LIMIT $5
