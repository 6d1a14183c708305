-- Events against the reservations that they name: a last event has ended its reservation. A reservation is missing only
-- where the retention has passed its id. Of events that start in [$2, $3), where they are given; names at most $4 rows.
WITH compared AS (
    SELECT
        event.event_id, event.reservation_id, event.keep_open, reservation.state,
        CASE
            WHEN reservation.reservation_id IS NULL THEN event.reservation_id >= tenant.reservations_kept_from
            ELSE reservation.state = 1 AND NOT event.keep_open
        END AS drifts
    FROM usage_event_wide AS event
    LEFT JOIN reservation
        ON reservation.tenant_id = $1 AND reservation.reservation_id = event.reservation_id
    JOIN tenant ON tenant.tenant_id = $1
    WHERE event.tenant_id = $1 AND event.reservation_id IS NOT NULL
        AND ($2::timestamptz IS NULL OR (
            date_bin('1 hour', event.start_time, '2000-01-01 00:00:00+00') >= date_bin('1 hour', $2, '2000-01-01 00:00:00+00')
            AND date_bin('1 hour', event.start_time, '2000-01-01 00:00:00+00') < $3::timestamptz
            AND event.start_time >= $2 AND event.start_time < $3
        ))
)
SELECT
    count(*) AS "rows!",
    count(*) FILTER (WHERE drifts) AS "drifting!",
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', format('event %s, reservation %s', drifting.event_id, drifting.reservation_id),
            'differences', jsonb_build_array(jsonb_build_object(
                'figure', 'state', 'ledger', CASE WHEN drifting.keep_open THEN 'kept' ELSE 'ended' END,
                'stored', CASE WHEN drifting.state IS NULL THEN NULL ELSE 'open' END
            ))
        )), '[]')
        FROM (SELECT * FROM compared WHERE drifts ORDER BY event_id LIMIT $4) AS drifting
    ) AS "examples!"
FROM compared
