-- How many events lie in these segments of time.
SELECT coalesce(sum(rollup.attempts), 0)::bigint AS "events!"
FROM unnest($2::timestamptz[], $3::timestamptz[], $4::smallint[]) AS segment (since, until, grain)
JOIN usage_rollup AS rollup ON rollup.tenant_id = $1 AND rollup.grain = segment.grain
    AND rollup.bucket >= segment.since AND rollup.bucket < segment.until
