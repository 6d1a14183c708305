-- Events against the totals of their sessions, by shape, and legs of corrections, signed, against the rows that hold them.
-- The costs by class follow from price sheets, not from rows. Of the sessions $2, where they are given; names at most $3 rows.
WITH kept AS (
    SELECT
        event.session_id, event.shape_id, event.adjustment,
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
            AND ($2::bigint[] IS NULL OR session_id = ANY($2))
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
            AND ($2::bigint[] IS NULL OR session_id = ANY($2))
    ) AS event
    WHERE event.session_id IS NOT NULL
    GROUP BY 1, 2, 3
), ledger AS (
    -- What is left of events that are gone adds to what is kept.
    SELECT
        session_id, shape_id, adjustment,
        CASE
            WHEN sealed.is_sealed IS NULL THEN kept.sums
            WHEN kept.is_kept IS NULL THEN sealed.sums
            ELSE measures_plus(kept.sums, sealed.sums)
        END AS sums
    FROM (SELECT *, true AS is_kept FROM kept) AS kept
    FULL JOIN (
        SELECT session_id, shape_id, adjustment, measures_of_rows(sums) AS sums, true AS is_sealed
        FROM sealed_session
        WHERE tenant_id = $1 AND NOT descendants AND ($2::bigint[] IS NULL OR session_id = ANY($2))
    ) AS sealed USING (session_id, shape_id, adjustment)
), stored AS (
    SELECT
        total.session_id, total.shape_id, total.adjustment,
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
    FROM session_usage AS total
    WHERE total.tenant_id = $1 AND NOT total.descendants
        AND ($2::bigint[] IS NULL OR total.session_id = ANY($2))
), compared AS (
    SELECT
        session_id, shape_id, adjustment, ledger.sums AS ledger, stored.sums AS stored,
        ledger.sums IS DISTINCT FROM stored.sums AS drifts
    FROM ledger FULL JOIN stored USING (session_id, shape_id, adjustment)
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
            'id', format('session %s, shape %s%s', coalesce(symbol.value, drifting.session_id::text), drifting.shape_id,
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
        FROM (SELECT * FROM compared WHERE drifts ORDER BY session_id, shape_id, adjustment LIMIT $3) AS drifting
        LEFT JOIN symbol ON symbol.tenant_id = $1 AND symbol.symbol_id = drifting.session_id
    ) AS "examples!"
FROM compared
