-- Events against the reservations that they name: a last event has ended its reservation. A reservation is missing only
-- where it ended before every one that is kept.
WITH compared AS (
    SELECT
        event.event_id, event.reservation_id, event.keep_open, reservation.state,
        CASE
            WHEN reservation.reservation_id IS NULL THEN event.record_time >= kept.since
            ELSE reservation.state = 1 AND NOT event.keep_open
        END AS drifts
    FROM usage_event AS event
    LEFT JOIN reservation
        ON reservation.tenant_id = $1 AND reservation.reservation_id = event.reservation_id
    CROSS JOIN (
        SELECT coalesce(min(end_time), 'infinity') AS since FROM reservation WHERE tenant_id = $1
    ) AS kept
    WHERE event.tenant_id = $1 AND event.reservation_id IS NOT NULL
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
        FROM (SELECT * FROM compared WHERE drifts ORDER BY event_id LIMIT 5) AS drifting
    ) AS "examples!"
FROM compared
