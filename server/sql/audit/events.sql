-- What the ledger holds, at the instant of the snapshot.
SELECT
    statement_timestamp() AS "as_of!",
    count(*) AS "attempts!",
    count(*) FILTER (WHERE attempt <= 1) AS "calls!",
    coalesce(sum(input_tokens) FILTER (WHERE NOT response_cache_hit), 0)::bigint AS "input_tokens!",
    coalesce(sum(output_tokens) FILTER (WHERE NOT response_cache_hit), 0)::bigint AS "output_tokens!",
    coalesce(sum(usd) FILTER (WHERE accounting <> 2), 0) AS "usd!",
    coalesce(sum(usd) FILTER (WHERE accounting = 2), 0) AS "memo_usd!"
FROM usage_event
WHERE tenant_id = $1
