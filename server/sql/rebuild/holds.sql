-- What reservations hold and presume of a budget's counters: an open one holds.
SELECT
    part.scope AS "scope!", part.window_start AS "window_start!",
    coalesce(sum(part.held) FILTER (WHERE reservation.state = 1), 0) AS "held!",
    coalesce(sum(part.presumed), 0) AS "presumed!"
FROM reservation
CROSS JOIN LATERAL jsonb_to_recordset(reservation.parts)
    AS part (budget bigint, scope uuid, window_start timestamptz, held numeric, presumed numeric)
WHERE reservation.tenant_id = $1 AND part.budget = $2
GROUP BY 1, 2
