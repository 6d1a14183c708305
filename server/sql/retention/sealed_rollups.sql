-- Everything that is sealed of rollups.
SELECT grain, bucket, user_id, shape_id, adjustment, sums AS "sums: MeasuresRow"
FROM sealed_rollup
WHERE tenant_id = $1
