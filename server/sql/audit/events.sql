-- What the ledger holds, at the instant of the snapshot: of events that start in [$2, $3), where they are given.
SELECT
    statement_timestamp() AS "as_of!",
    count(*) AS "attempts!",
    count(*) FILTER (WHERE attempt <= 1) AS "calls!",
    coalesce(sum(input_tokens) FILTER (WHERE NOT response_cache_hit), 0)::bigint AS "input_tokens!",
    coalesce(sum(output_tokens) FILTER (WHERE NOT response_cache_hit), 0)::bigint AS "output_tokens!",
    coalesce(sum(usd) FILTER (WHERE accounting <> 2), 0) AS "usd!",
    coalesce(sum(usd) FILTER (WHERE accounting = 2), 0) AS "memo_usd!"
FROM usage_event_wide
WHERE tenant_id = $1
    AND ($2::timestamptz IS NULL OR (
        date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') >= date_bin('1 hour', $2, '2000-01-01 00:00:00+00')
        AND date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') < $3::timestamptz
        AND start_time >= $2 AND start_time < $3
    ))
