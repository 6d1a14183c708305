-- Events against the rollup of grain $2: 1 = 15 minutes, 2 = UTC days.
-- Legs of corrections, signed, against the rows that hold them.
-- Of buckets that begin in [$3, $4), where they are given; names at most $5 rows.
WITH kept AS (
    SELECT
        date_bin(
            CASE $2::smallint WHEN 1 THEN interval '15 minutes' WHEN 2 THEN interval '1 day' END,
            event.start_time, '2000-01-01 00:00:00+00'
        ) AS bucket, event.shape_id, event.adjustment,
        ROW(
            coalesce(sum(event.sign) FILTER (WHERE event.attempt <= 1), 0)::bigint,
            sum(event.sign)::bigint,
            coalesce(sum(event.sign) FILTER (WHERE event.outcome IN (4, 5)), 0)::bigint,
            coalesce(sum(event.sign) FILTER (WHERE event.price_state IN (3, 4)), 0)::bigint,
            coalesce(sum(event.sign) FILTER (WHERE event.quality IN (3, 4)), 0)::bigint,
            coalesce(sum(event.sign) FILTER (WHERE event.response_cache_hit), 0)::bigint,
            coalesce(sum(event.sign * event.input_tokens) FILTER (WHERE NOT event.response_cache_hit), 0)::bigint,
            coalesce(sum(event.sign * event.output_tokens) FILTER (WHERE NOT event.response_cache_hit), 0)::bigint,
            (sum(event.sign * event.cache_read_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            (sum(event.sign * event.cache_write_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            (sum(event.sign * event.audio_in_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            (sum(event.sign * event.image_in_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            (sum(event.sign * event.video_in_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            (sum(event.sign * event.cache_read_audio_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            (sum(event.sign * event.cache_read_image_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            (sum(event.sign * event.cache_read_video_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            (sum(event.sign * event.tool_in_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            (sum(event.sign * event.reasoning_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            (sum(event.sign * event.audio_out_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            (sum(event.sign * event.image_out_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            (sum(event.sign * event.video_out_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            (sum(event.sign * event.citation_tokens) FILTER (WHERE NOT event.response_cache_hit))::bigint,
            coalesce(sum(event.sign * event.usd) FILTER (WHERE event.accounting <> 2), 0)::numeric(28,12),
            coalesce(sum(event.sign * event.usd) FILTER (WHERE event.accounting = 2), 0)::numeric(28,12),
            sum(event.sign * event.saved_usd)::numeric(28,12),
            (sum(event.sign * event.reported_cost) FILTER (
                WHERE event.reported_cost IS NOT NULL AND coalesce(event.reported_currency, 'USD') = 'USD'
            ))::numeric(28,12),
            (sum(event.sign * event.usd) FILTER (
                WHERE event.reported_cost IS NOT NULL AND coalesce(event.reported_currency, 'USD') = 'USD'
            ))::numeric(28,12),
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            min(event.start_time),
            max(event.start_time),
            coalesce(sum(event.sign) FILTER (WHERE event.price_state = 3), 0)::bigint,
            coalesce(sum(event.sign) FILTER (WHERE event.price_state = 2), 0)::bigint
        )::measures AS sums
    FROM (
        SELECT
            false AS adjustment, 1::smallint AS sign,
            shape_id, session_id, root_session_id, user_id, start_time, attempt, outcome, price_state, quality,
            response_cache_hit, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, audio_in_tokens,
            image_in_tokens, video_in_tokens, cache_read_audio_tokens, cache_read_image_tokens,
            cache_read_video_tokens, tool_in_tokens, reasoning_tokens, audio_out_tokens, image_out_tokens,
            video_out_tokens, citation_tokens, usd, accounting, saved_usd, reported_cost, reported_currency
        FROM usage_event_wide
        WHERE tenant_id = $1
            AND ($3::timestamptz IS NULL OR (
                date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') >= date_bin('1 hour', $3, '2000-01-01 00:00:00+00')
                AND date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') < $4::timestamptz
                AND start_time >= $3 AND start_time < $4
            ))
        UNION ALL
        SELECT
            true AS adjustment, sign,
            shape_id, session_id, root_session_id, user_id, start_time, attempt, outcome, price_state, quality,
            response_cache_hit, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, audio_in_tokens,
            image_in_tokens, video_in_tokens, cache_read_audio_tokens, cache_read_image_tokens,
            cache_read_video_tokens, tool_in_tokens, reasoning_tokens, audio_out_tokens, image_out_tokens,
            video_out_tokens, citation_tokens, usd, accounting, saved_usd, reported_cost, reported_currency
        FROM usage_adjustment_wide
        WHERE tenant_id = $1
            AND ($3::timestamptz IS NULL OR (
                date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') >= date_bin('1 hour', $3, '2000-01-01 00:00:00+00')
                AND date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') < $4::timestamptz
                AND start_time >= $3 AND start_time < $4
            ))
    ) AS event
    GROUP BY 1, 2, 3
), ledger AS (
    -- What is left of events that are gone adds to what is kept.
    SELECT
        bucket, shape_id, adjustment,
        CASE
            WHEN sealed.is_sealed IS NULL THEN kept.sums
            WHEN kept.is_kept IS NULL THEN sealed.sums
            ELSE measures_plus(kept.sums, sealed.sums)
        END AS sums
    FROM (SELECT *, true AS is_kept FROM kept) AS kept
    FULL JOIN (
        SELECT bucket, shape_id, adjustment, measures_of_rows(sums) AS sums, true AS is_sealed
        FROM sealed_rollup
        WHERE tenant_id = $1 AND grain = $2 AND user_id = 0
            AND ($3::timestamptz IS NULL OR (bucket >= $3 AND bucket < $4::timestamptz))
    ) AS sealed USING (bucket, shape_id, adjustment)
), stored AS (
    SELECT
        total.bucket, total.shape_id, total.adjustment,
        ROW(
            total.calls, total.attempts, total.errors, total.unpriced, total.estimated, total.response_cache_hits,
            total.input_tokens, total.output_tokens, total.cache_read_tokens, total.cache_write_tokens,
            total.audio_in_tokens, total.image_in_tokens, total.video_in_tokens, total.cache_read_audio_tokens,
            total.cache_read_image_tokens, total.cache_read_video_tokens, total.tool_in_tokens,
            total.reasoning_tokens, total.audio_out_tokens, total.image_out_tokens, total.video_out_tokens,
            total.citation_tokens, total.usd, total.memo_usd, total.saved_usd, total.reported_usd,
            total.reported_own_usd, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            NULL, NULL, NULL, NULL, total.first_time, total.last_time, total.partial, total.free
        )::measures AS sums
    FROM usage_rollup AS total
    WHERE total.tenant_id = $1 AND total.grain = $2
        AND ($3::timestamptz IS NULL OR (total.bucket >= $3 AND total.bucket < $4::timestamptz))
), compared AS (
    SELECT
        bucket, shape_id, adjustment, ledger.sums AS ledger, stored.sums AS stored,
        ledger.sums IS DISTINCT FROM stored.sums AS drifts
    FROM ledger FULL JOIN stored USING (bucket, shape_id, adjustment)
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
            'id', format('bucket %s, shape %s%s', to_jsonb(drifting.bucket) #>> '{}', drifting.shape_id,
                CASE WHEN drifting.adjustment THEN ', corrections' END),
            'differences', (
                SELECT jsonb_agg(jsonb_build_object(
                    'figure', key, 'ledger', ours.value #>> '{}', 'stored', theirs.value #>> '{}'
                ) ORDER BY key)
                FROM jsonb_each(to_jsonb(drifting.ledger)) AS ours (key, value)
                FULL JOIN jsonb_each(to_jsonb(drifting.stored)) AS theirs (key, value) USING (key)
                WHERE nullif(ours.value, 'null') IS DISTINCT FROM nullif(theirs.value, 'null')
            )
        )), '[]')
        FROM (SELECT * FROM compared WHERE drifts ORDER BY bucket, shape_id, adjustment LIMIT $5) AS drifting
    ) AS "examples!"
FROM compared
