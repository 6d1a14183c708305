-- How many events lie in these segments of time.
SELECT coalesce(sum(rollup.attempts), 0)::bigint AS "events!"
FROM unnest($2::timestamptz[], $3::timestamptz[], $4::smallint[]) AS segment (since, until, grain)
CROSS JOIN LATERAL (
    SELECT attempts
    FROM usage_rollup
    WHERE tenant_id = $1 AND grain = segment.grain AND bucket >= segment.since AND bucket < segment.until
        AND NOT adjustment
    OFFSET 0 -- One range of the index per segment.
) AS rollup
