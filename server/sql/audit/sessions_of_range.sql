-- Sessions with events, or legs of corrections, that start in [$2, $3): at most $5, others with another salt $4.
SELECT touched.session_id AS "session_id!"
FROM (
    SELECT session_id
    FROM usage_event_wide
    WHERE tenant_id = $1 AND session_id IS NOT NULL
        AND ($2::timestamptz IS NULL OR (
            date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') >= date_bin('1 hour', $2, '2000-01-01 00:00:00+00')
            AND date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') < $3::timestamptz
            AND start_time >= $2 AND start_time < $3
        ))
    UNION ALL
    SELECT session_id
    FROM usage_adjustment_wide
    WHERE tenant_id = $1 AND session_id IS NOT NULL
        AND ($2::timestamptz IS NULL OR (
            date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') >= date_bin('1 hour', $2, '2000-01-01 00:00:00+00')
            AND date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') < $3::timestamptz
            AND start_time >= $2 AND start_time < $3
        ))
) AS touched
GROUP BY 1
ORDER BY hashint8extended(touched.session_id, $4::bigint)
LIMIT $5
