-- How many events, and legs of corrections, are charged in [$2, $3); counts no further than $4.
SELECT count(*) AS "entries!"
FROM (
    SELECT 1 FROM usage_event_wide WHERE tenant_id = $1 AND charge_time >= $2 AND charge_time < $3
    UNION ALL
    SELECT 1 FROM usage_adjustment_wide
    WHERE tenant_id = $1 AND date_bin('1 hour', charge_time, '2000-01-01 00:00:00+00') < $3
        AND date_bin('1 hour', charge_time, '2000-01-01 00:00:00+00')
            >= date_bin('1 hour', $2, '2000-01-01 00:00:00+00')
        AND charge_time >= $2 AND charge_time < $3
    LIMIT $4
) AS entry
