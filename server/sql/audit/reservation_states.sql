-- Reservations against their states: each state is a known one, only an open one holds, only one that has expired
-- presumes, and nothing is below zero. Of reservations that events in [$2, $3) name, where they are given; names at most $4 rows.
WITH compared AS (
    SELECT
        reservation.reservation_id, reservation.state,
        coalesce(parts.held, 0) AS held, coalesce(parts.presumed, 0) AS presumed,
        reservation.state NOT BETWEEN 1 AND 6
            OR (reservation.state <> 1 AND coalesce(parts.held, 0) <> 0)
            OR (reservation.state NOT IN (1, 4) AND coalesce(parts.presumed, 0) <> 0)
            OR coalesce(parts.least < 0, false) AS drifts
    FROM reservation
    CROSS JOIN LATERAL (
        SELECT
            sum(abs(part.held)) AS held, sum(abs(part.presumed)) AS presumed,
            min(least(part.held, part.charged, part.presumed)) AS least
        FROM jsonb_to_recordset(reservation.parts) AS part (held numeric, charged numeric, presumed numeric)
    ) AS parts
    WHERE reservation.tenant_id = $1
        AND ($2::timestamptz IS NULL OR reservation.reservation_id IN (
            SELECT event.reservation_id
            FROM usage_event_wide AS event
            WHERE event.tenant_id = $1 AND event.reservation_id IS NOT NULL
                AND ($2::timestamptz IS NULL OR (
                    date_bin('1 hour', event.start_time, '2000-01-01 00:00:00+00') >= date_bin('1 hour', $2, '2000-01-01 00:00:00+00')
                    AND date_bin('1 hour', event.start_time, '2000-01-01 00:00:00+00') < $3::timestamptz
                    AND event.start_time >= $2 AND event.start_time < $3
                ))
        ))
)
SELECT
    count(*) AS "rows!",
    count(*) FILTER (WHERE drifts) AS "drifting!",
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', format('reservation %s, state %s', drifting.reservation_id, drifting.state),
            'differences', jsonb_build_array(
                jsonb_build_object('figure', 'held', 'ledger', NULL, 'stored', drifting.held::text),
                jsonb_build_object('figure', 'presumed', 'ledger', NULL, 'stored', drifting.presumed::text)
            )
        )), '[]')
        FROM (SELECT * FROM compared WHERE drifts ORDER BY reservation_id LIMIT $4) AS drifting
    ) AS "examples!"
FROM compared
