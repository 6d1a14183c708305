-- About how many events a budget that counts from $2 on would count back: by their start, which is near enough.
SELECT coalesce(sum(attempts), 0)::bigint AS "count!"
FROM usage_rollup
WHERE tenant_id = $1 AND grain = 2 AND NOT adjustment AND bucket >= date_bin('1 day', $2, '2000-01-01 00:00:00+00')
