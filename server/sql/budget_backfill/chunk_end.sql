-- Where about $3 events have begun since $2; NULL = there are fewer.
WITH bucket_row AS (
    SELECT bucket, attempts
    FROM usage_rollup
    WHERE tenant_id = $1 AND grain = 1 AND NOT adjustment AND bucket > $2
    ORDER BY bucket
    LIMIT 50000
), running AS (
    SELECT bucket, sum(attempts) OVER (ORDER BY bucket) AS so_far FROM bucket_row
)
SELECT coalesce(
    min(bucket) FILTER (WHERE so_far > $3::numeric), CASE WHEN count(*) = 50000 THEN max(bucket) END
) AS chunk_end
FROM running
