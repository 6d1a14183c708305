-- Attempts of whole days before the oldest partition: what the rollup tells, and the events that are left.
WITH oldest AS (
    SELECT to_timestamp(min(substring(child.relname::text FROM 'usage_event_([0-9]{4}_[0-9]{2})$')), 'YYYY_MM') AS start
    FROM pg_inherits
    JOIN pg_class AS child ON child.oid = pg_inherits.inhrelid
    WHERE pg_inherits.inhparent = 'usage_event'::regclass
)
SELECT
    (
        SELECT coalesce(sum(attempts), 0)::bigint FROM usage_rollup, oldest
        WHERE tenant_id = $1 AND grain = 2 AND NOT adjustment AND bucket + interval '1 day' <= oldest.start
    ) AS "told!",
    (
        SELECT count(*) FROM usage_event, oldest
        WHERE tenant_id = $1 AND start_time < date_bin('1 day', oldest.start, '2000-01-01 00:00:00+00')
    ) AS "left!"
