-- UTC days of the rollup by user against the sum of their quarter hours: the days that $2 and $3 lie in and those between. Names at
-- most $4 rows. What quarter hours hold is compared with events apart from this.
WITH ledger AS (
    SELECT
        date_bin('1 day', total.bucket, '2000-01-01 00:00:00+00') AS bucket, total.user_id, total.shape_id, total.adjustment,
        ROW(
            sum(total.calls)::bigint, sum(total.attempts)::bigint, sum(total.errors)::bigint,
            sum(total.unpriced)::bigint, sum(total.estimated)::bigint,
            sum(total.response_cache_hits)::bigint, sum(total.input_tokens)::bigint,
            sum(total.output_tokens)::bigint, sum(total.cache_read_tokens)::bigint,
            sum(total.cache_write_tokens)::bigint, sum(total.audio_in_tokens)::bigint,
            sum(total.image_in_tokens)::bigint, sum(total.video_in_tokens)::bigint,
            sum(total.cache_read_audio_tokens)::bigint, sum(total.cache_read_image_tokens)::bigint,
            sum(total.cache_read_video_tokens)::bigint, sum(total.tool_in_tokens)::bigint,
            sum(total.reasoning_tokens)::bigint, sum(total.audio_out_tokens)::bigint,
            sum(total.image_out_tokens)::bigint, sum(total.video_out_tokens)::bigint,
            sum(total.citation_tokens)::bigint, sum(total.usd)::numeric(28,12),
            sum(total.memo_usd)::numeric(28,12), sum(total.saved_usd)::numeric(28,12),
            sum(total.reported_usd)::numeric(28,12), sum(total.reported_own_usd)::numeric(28,12),
            sum(total.text_in_usd)::numeric(28,12), sum(total.text_out_usd)::numeric(28,12),
            sum(total.cache_read_usd)::numeric(28,12), sum(total.cache_write_usd)::numeric(28,12),
            sum(total.audio_in_usd)::numeric(28,12), sum(total.image_in_usd)::numeric(28,12),
            sum(total.video_in_usd)::numeric(28,12),
            sum(total.cache_read_audio_usd)::numeric(28,12),
            sum(total.cache_read_image_usd)::numeric(28,12),
            sum(total.cache_read_video_usd)::numeric(28,12), sum(total.tool_in_usd)::numeric(28,12),
            sum(total.reasoning_usd)::numeric(28,12), sum(total.audio_out_usd)::numeric(28,12),
            sum(total.image_out_usd)::numeric(28,12), sum(total.video_out_usd)::numeric(28,12),
            sum(total.citation_usd)::numeric(28,12), sum(total.units_usd)::numeric(28,12),
            min(total.first_time), max(total.last_time), sum(total.partial)::bigint,
            sum(total.free)::bigint
        )::measures AS sums
    FROM user_rollup AS total
    WHERE total.tenant_id = $1 AND total.grain = 1
        AND total.bucket >= date_bin('1 day', $2::timestamptz, '2000-01-01 00:00:00+00')
        AND total.bucket < date_bin('1 day', $3::timestamptz - interval '1 microsecond', '2000-01-01 00:00:00+00')
            + interval '1 day'
    GROUP BY 1, 2, 3, 4
), stored AS (
    SELECT
        total.bucket, total.user_id, total.shape_id, total.adjustment,
        ROW(
            total.calls, total.attempts, total.errors, total.unpriced, total.estimated,
            total.response_cache_hits, total.input_tokens, total.output_tokens,
            total.cache_read_tokens, total.cache_write_tokens, total.audio_in_tokens,
            total.image_in_tokens, total.video_in_tokens, total.cache_read_audio_tokens,
            total.cache_read_image_tokens, total.cache_read_video_tokens, total.tool_in_tokens,
            total.reasoning_tokens, total.audio_out_tokens, total.image_out_tokens,
            total.video_out_tokens, total.citation_tokens, total.usd, total.memo_usd,
            total.saved_usd, total.reported_usd, total.reported_own_usd, total.text_in_usd,
            total.text_out_usd, total.cache_read_usd, total.cache_write_usd, total.audio_in_usd,
            total.image_in_usd, total.video_in_usd, total.cache_read_audio_usd,
            total.cache_read_image_usd, total.cache_read_video_usd, total.tool_in_usd,
            total.reasoning_usd, total.audio_out_usd, total.image_out_usd, total.video_out_usd,
            total.citation_usd, total.units_usd, total.first_time, total.last_time, total.partial,
            total.free
        )::measures AS sums
    FROM user_rollup AS total
    WHERE total.tenant_id = $1 AND total.grain = 2
        AND total.bucket >= date_bin('1 day', $2, '2000-01-01 00:00:00+00') AND total.bucket < $3
), compared AS (
    SELECT
        bucket, user_id, shape_id, adjustment, ledger.sums AS ledger, stored.sums AS stored,
        ledger.sums IS DISTINCT FROM stored.sums AS drifts
    FROM ledger FULL JOIN stored USING (bucket, user_id, shape_id, adjustment)
)
SELECT
    count(*) AS "rows!",
    count(*) FILTER (WHERE drifts) AS "drifting!",
    coalesce(sum((ledger).attempts), 0)::bigint AS "ledger_attempts!",
    coalesce(sum((stored).attempts), 0)::bigint AS "stored_attempts!",
    coalesce(sum((ledger).input_tokens + (ledger).output_tokens), 0)::bigint AS "ledger_tokens!",
    coalesce(sum((stored).input_tokens + (stored).output_tokens), 0)::bigint AS "stored_tokens!",
    coalesce(sum((ledger).usd + (ledger).memo_usd), 0) AS "ledger_usd!",
    coalesce(sum((stored).usd + (stored).memo_usd), 0) AS "stored_usd!",
    coalesce(sum(
        abs(coalesce((ledger).usd, 0) - coalesce((stored).usd, 0))
        + abs(coalesce((ledger).memo_usd, 0) - coalesce((stored).memo_usd, 0))
    ), 0) AS "usd_drift!",
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', format(
                'user %s, bucket %s, shape %s%s', coalesce(symbol.value, drifting.user_id::text),
                to_jsonb(drifting.bucket) #>> '{}', drifting.shape_id,
                CASE WHEN drifting.adjustment THEN ', corrections' END
            ),
            'differences', (
                SELECT jsonb_agg(jsonb_build_object(
                    'figure', key, 'ledger', ours.value #>> '{}', 'stored', theirs.value #>> '{}'
                ) ORDER BY key)
                FROM jsonb_each(to_jsonb(drifting.ledger)) AS ours (key, value)
                FULL JOIN jsonb_each(to_jsonb(drifting.stored)) AS theirs (key, value) USING (key)
                WHERE nullif(ours.value, 'null') IS DISTINCT FROM nullif(theirs.value, 'null')
            )
        )), '[]')
        FROM (SELECT * FROM compared WHERE drifts ORDER BY bucket, user_id, shape_id, adjustment LIMIT $4) AS drifting
        LEFT JOIN symbol ON symbol.tenant_id = $1 AND symbol.symbol_id = drifting.user_id
    ) AS "examples!"
FROM compared
