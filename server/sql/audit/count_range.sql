-- How many events, and legs of corrections, start in [$2, $3), where they are given; counts no further than $4.
SELECT count(*) AS "entries!"
FROM (
    SELECT 1
    FROM usage_event_wide
    WHERE tenant_id = $1
        AND ($2::timestamptz IS NULL OR (
            date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') >= date_bin('1 hour', $2, '2000-01-01 00:00:00+00')
            AND date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') < $3::timestamptz
            AND start_time >= $2 AND start_time < $3
        ))
    UNION ALL
    SELECT 1
    FROM usage_adjustment_wide
    WHERE tenant_id = $1
        AND ($2::timestamptz IS NULL OR (
            date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') >= date_bin('1 hour', $2, '2000-01-01 00:00:00+00')
            AND date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') < $3::timestamptz
            AND start_time >= $2 AND start_time < $3
        ))
    LIMIT $4
) AS entry
