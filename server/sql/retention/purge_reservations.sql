-- Deletes up to $4 reservations that ended before $2 and presume nothing. Ids rise with the time: none that ended then lies at or
-- beyond the id $3. From which id on none is missing is noted for the audit.
WITH gone AS (
    DELETE FROM reservation
    WHERE tenant_id = $1 AND reservation_id IN (
        SELECT reservation_id FROM reservation AS ended
        WHERE ended.tenant_id = $1 AND ended.reservation_id < $3
            AND ended.state <> 1 AND coalesce(ended.end_time, ended.expire_time) < $2
            AND NOT EXISTS (
                SELECT FROM jsonb_to_recordset(ended.parts) AS part (presumed numeric) WHERE part.presumed <> 0
            )
        ORDER BY ended.reservation_id
        LIMIT $4
    )
    RETURNING reservation_id
), noted AS (
    UPDATE tenant SET reservations_kept_from = greatest(reservations_kept_from, $3)
    WHERE tenant_id = $1 AND EXISTS (SELECT FROM gone)
)
SELECT count(*) AS "reservations!" FROM gone
