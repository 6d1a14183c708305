-- Adds to what is sealed. Keys come sorted.
INSERT INTO sealed_rollup (tenant_id, grain, bucket, user_id, shape_id, adjustment, sums)
SELECT
    $1, unnest($2::smallint[]), unnest($3::timestamptz[]), unnest($4::bigint[]), unnest($5::bigint[]),
    unnest($6::boolean[]), unnest($7::measures[])
ON CONFLICT (tenant_id, grain, bucket, user_id, shape_id, adjustment) DO UPDATE SET
    sums = measures_plus(sealed_rollup.sums, excluded.sums)
