-- Rows of which no event is left.
DELETE FROM usage_rollup
WHERE tenant_id = $1
    AND (grain, bucket, shape_id, adjustment) IN (SELECT * FROM unnest($2::smallint[], $3::timestamptz[], $4::bigint[], $5::boolean[]))
