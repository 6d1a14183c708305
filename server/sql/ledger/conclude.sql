-- The end of a batch, in one round trip: reservations that it added and changed, counters that moved, and what it adds to the
-- rollups by shape, which most batches of a tenant meet on.
-- A reservation that another writer added meanwhile is not counted: the batch starts over and finds it. Counters are all there, and
-- locked; they are written as an upsert, which looks for each by its whole key, whatever the planner believes of the table's size.
WITH added AS (
    INSERT INTO reservation (
        tenant_id, reservation_id, state, create_time, expire_time, end_time, sequence, fingerprint, context, parts,
        progress
    )
    SELECT
        $1, added.reservation_id, added.state, added.create_time, added.expire_time, added.end_time, added.sequence,
        added.fingerprint, added.context, added.parts, added.progress
    FROM unnest(
        $2::uuid[], $3::smallint[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::bigint[], $8::uuid[],
        $9::jsonb[], $10::jsonb[], $11::jsonb[]
    ) AS added (
        reservation_id, state, create_time, expire_time, end_time, sequence, fingerprint, context, parts, progress
    )
    ON CONFLICT DO NOTHING
    RETURNING reservation_id
),
changed AS (
    UPDATE reservation SET
        state = changed.state,
        expire_time = changed.expire_time,
        end_time = changed.end_time,
        sequence = changed.sequence,
        context = changed.context,
        parts = changed.parts,
        progress = changed.progress
    FROM unnest(
        $12::uuid[], $13::smallint[], $14::timestamptz[], $15::timestamptz[], $16::bigint[], $17::jsonb[], $18::jsonb[],
        $19::jsonb[]
    ) AS changed (reservation_id, state, expire_time, end_time, sequence, context, parts, progress)
    WHERE reservation.tenant_id = $1 AND reservation.reservation_id = changed.reservation_id
),
counters AS (
    INSERT INTO budget_window (
        tenant_id, budget_number, scope, window_start, window_end, per_values, spent, held, presumed, overrun, highest_limit,
        overrun_causes
    )
    SELECT
        $1, changed.budget_number, changed.scope, changed.window_start, changed.window_end, changed.per_values,
        changed.spent, changed.held, changed.presumed, changed.overrun, changed.highest_limit, changed.overrun_causes
    FROM unnest(
        $20::bigint[], $21::uuid[], $22::timestamptz[], $23::timestamptz[], $24::jsonb[], $25::numeric[], $26::numeric[],
        $27::numeric[], $28::numeric[], $29::numeric[], $30::jsonb[]
    ) AS changed (
        budget_number, scope, window_start, window_end, per_values, spent, held, presumed, overrun, highest_limit,
        overrun_causes
    )
    ON CONFLICT (tenant_id, budget_number, scope, window_start) DO UPDATE SET
        spent = excluded.spent,
        held = excluded.held,
        presumed = excluded.presumed,
        overrun = excluded.overrun,
        highest_limit = excluded.highest_limit,
        overrun_causes = excluded.overrun_causes,
        version = budget_window.version + 1
),
rollups AS (
    INSERT INTO usage_rollup (
        tenant_id, grain, bucket, shape_id, adjustment,
        calls, attempts, errors, unpriced, estimated, response_cache_hits, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, audio_in_tokens, image_in_tokens, video_in_tokens,
        cache_read_audio_tokens, cache_read_image_tokens, cache_read_video_tokens, tool_in_tokens, reasoning_tokens,
        audio_out_tokens, image_out_tokens, video_out_tokens, citation_tokens, usd, memo_usd, saved_usd, reported_usd,
        reported_own_usd, text_in_usd, text_out_usd, cache_read_usd, cache_write_usd, audio_in_usd, image_in_usd,
        video_in_usd, cache_read_audio_usd, cache_read_image_usd, cache_read_video_usd, tool_in_usd, reasoning_usd,
        audio_out_usd, image_out_usd, video_out_usd, citation_usd, units_usd, first_time, last_time, partial, free
    )
    SELECT
        $1, delta.grain, delta.bucket, delta.shape_id, delta.adjustment,
        delta.calls, delta.attempts, delta.errors, delta.unpriced, delta.estimated, delta.response_cache_hits,
        delta.input_tokens, delta.output_tokens, delta.cache_read_tokens, delta.cache_write_tokens,
        delta.audio_in_tokens, delta.image_in_tokens, delta.video_in_tokens, delta.cache_read_audio_tokens,
        delta.cache_read_image_tokens, delta.cache_read_video_tokens, delta.tool_in_tokens, delta.reasoning_tokens,
        delta.audio_out_tokens, delta.image_out_tokens, delta.video_out_tokens, delta.citation_tokens, delta.usd,
        delta.memo_usd, delta.saved_usd, delta.reported_usd, delta.reported_own_usd, delta.text_in_usd,
        delta.text_out_usd, delta.cache_read_usd, delta.cache_write_usd, delta.audio_in_usd, delta.image_in_usd,
        delta.video_in_usd, delta.cache_read_audio_usd, delta.cache_read_image_usd, delta.cache_read_video_usd,
        delta.tool_in_usd, delta.reasoning_usd, delta.audio_out_usd, delta.image_out_usd, delta.video_out_usd,
        delta.citation_usd, delta.units_usd, delta.first_time, delta.last_time, delta.partial,
        delta.free
    FROM unnest($31::smallint[], $32::timestamptz[], $33::bigint[], $34::boolean[], $35::measures[])
        AS delta (
            grain, bucket, shape_id, adjustment,
            calls, attempts, errors, unpriced, estimated, response_cache_hits, input_tokens, output_tokens,
            cache_read_tokens, cache_write_tokens, audio_in_tokens, image_in_tokens, video_in_tokens,
            cache_read_audio_tokens, cache_read_image_tokens, cache_read_video_tokens, tool_in_tokens,
            reasoning_tokens, audio_out_tokens, image_out_tokens, video_out_tokens, citation_tokens, usd, memo_usd,
            saved_usd, reported_usd, reported_own_usd, text_in_usd, text_out_usd, cache_read_usd, cache_write_usd,
            audio_in_usd, image_in_usd, video_in_usd, cache_read_audio_usd, cache_read_image_usd, cache_read_video_usd,
            tool_in_usd, reasoning_usd, audio_out_usd, image_out_usd, video_out_usd, citation_usd, units_usd,
            first_time, last_time, partial, free
        )
    ON CONFLICT (tenant_id, grain, bucket, shape_id, adjustment) DO UPDATE SET
        calls = usage_rollup.calls + excluded.calls,
        attempts = usage_rollup.attempts + excluded.attempts,
        errors = usage_rollup.errors + excluded.errors,
        unpriced = usage_rollup.unpriced + excluded.unpriced,
        estimated = usage_rollup.estimated + excluded.estimated,
        response_cache_hits = usage_rollup.response_cache_hits + excluded.response_cache_hits,
        input_tokens = usage_rollup.input_tokens + excluded.input_tokens,
        output_tokens = usage_rollup.output_tokens + excluded.output_tokens,
        usd = usage_rollup.usd + excluded.usd,
        memo_usd = usage_rollup.memo_usd + excluded.memo_usd,
        cache_read_tokens = coalesce(usage_rollup.cache_read_tokens + excluded.cache_read_tokens, usage_rollup.cache_read_tokens, excluded.cache_read_tokens),
        cache_write_tokens = coalesce(usage_rollup.cache_write_tokens + excluded.cache_write_tokens, usage_rollup.cache_write_tokens, excluded.cache_write_tokens),
        audio_in_tokens = coalesce(usage_rollup.audio_in_tokens + excluded.audio_in_tokens, usage_rollup.audio_in_tokens, excluded.audio_in_tokens),
        image_in_tokens = coalesce(usage_rollup.image_in_tokens + excluded.image_in_tokens, usage_rollup.image_in_tokens, excluded.image_in_tokens),
        video_in_tokens = coalesce(usage_rollup.video_in_tokens + excluded.video_in_tokens, usage_rollup.video_in_tokens, excluded.video_in_tokens),
        cache_read_audio_tokens = coalesce(usage_rollup.cache_read_audio_tokens + excluded.cache_read_audio_tokens, usage_rollup.cache_read_audio_tokens, excluded.cache_read_audio_tokens),
        cache_read_image_tokens = coalesce(usage_rollup.cache_read_image_tokens + excluded.cache_read_image_tokens, usage_rollup.cache_read_image_tokens, excluded.cache_read_image_tokens),
        cache_read_video_tokens = coalesce(usage_rollup.cache_read_video_tokens + excluded.cache_read_video_tokens, usage_rollup.cache_read_video_tokens, excluded.cache_read_video_tokens),
        tool_in_tokens = coalesce(usage_rollup.tool_in_tokens + excluded.tool_in_tokens, usage_rollup.tool_in_tokens, excluded.tool_in_tokens),
        reasoning_tokens = coalesce(usage_rollup.reasoning_tokens + excluded.reasoning_tokens, usage_rollup.reasoning_tokens, excluded.reasoning_tokens),
        audio_out_tokens = coalesce(usage_rollup.audio_out_tokens + excluded.audio_out_tokens, usage_rollup.audio_out_tokens, excluded.audio_out_tokens),
        image_out_tokens = coalesce(usage_rollup.image_out_tokens + excluded.image_out_tokens, usage_rollup.image_out_tokens, excluded.image_out_tokens),
        video_out_tokens = coalesce(usage_rollup.video_out_tokens + excluded.video_out_tokens, usage_rollup.video_out_tokens, excluded.video_out_tokens),
        citation_tokens = coalesce(usage_rollup.citation_tokens + excluded.citation_tokens, usage_rollup.citation_tokens, excluded.citation_tokens),
        saved_usd = coalesce(usage_rollup.saved_usd + excluded.saved_usd, usage_rollup.saved_usd, excluded.saved_usd),
        reported_usd = coalesce(usage_rollup.reported_usd + excluded.reported_usd, usage_rollup.reported_usd, excluded.reported_usd),
        reported_own_usd = coalesce(usage_rollup.reported_own_usd + excluded.reported_own_usd, usage_rollup.reported_own_usd, excluded.reported_own_usd),
        text_in_usd = coalesce(usage_rollup.text_in_usd + excluded.text_in_usd, usage_rollup.text_in_usd, excluded.text_in_usd),
        text_out_usd = coalesce(usage_rollup.text_out_usd + excluded.text_out_usd, usage_rollup.text_out_usd, excluded.text_out_usd),
        cache_read_usd = coalesce(usage_rollup.cache_read_usd + excluded.cache_read_usd, usage_rollup.cache_read_usd, excluded.cache_read_usd),
        cache_write_usd = coalesce(usage_rollup.cache_write_usd + excluded.cache_write_usd, usage_rollup.cache_write_usd, excluded.cache_write_usd),
        audio_in_usd = coalesce(usage_rollup.audio_in_usd + excluded.audio_in_usd, usage_rollup.audio_in_usd, excluded.audio_in_usd),
        image_in_usd = coalesce(usage_rollup.image_in_usd + excluded.image_in_usd, usage_rollup.image_in_usd, excluded.image_in_usd),
        video_in_usd = coalesce(usage_rollup.video_in_usd + excluded.video_in_usd, usage_rollup.video_in_usd, excluded.video_in_usd),
        cache_read_audio_usd = coalesce(usage_rollup.cache_read_audio_usd + excluded.cache_read_audio_usd, usage_rollup.cache_read_audio_usd, excluded.cache_read_audio_usd),
        cache_read_image_usd = coalesce(usage_rollup.cache_read_image_usd + excluded.cache_read_image_usd, usage_rollup.cache_read_image_usd, excluded.cache_read_image_usd),
        cache_read_video_usd = coalesce(usage_rollup.cache_read_video_usd + excluded.cache_read_video_usd, usage_rollup.cache_read_video_usd, excluded.cache_read_video_usd),
        tool_in_usd = coalesce(usage_rollup.tool_in_usd + excluded.tool_in_usd, usage_rollup.tool_in_usd, excluded.tool_in_usd),
        reasoning_usd = coalesce(usage_rollup.reasoning_usd + excluded.reasoning_usd, usage_rollup.reasoning_usd, excluded.reasoning_usd),
        audio_out_usd = coalesce(usage_rollup.audio_out_usd + excluded.audio_out_usd, usage_rollup.audio_out_usd, excluded.audio_out_usd),
        image_out_usd = coalesce(usage_rollup.image_out_usd + excluded.image_out_usd, usage_rollup.image_out_usd, excluded.image_out_usd),
        video_out_usd = coalesce(usage_rollup.video_out_usd + excluded.video_out_usd, usage_rollup.video_out_usd, excluded.video_out_usd),
        citation_usd = coalesce(usage_rollup.citation_usd + excluded.citation_usd, usage_rollup.citation_usd, excluded.citation_usd),
        units_usd = coalesce(usage_rollup.units_usd + excluded.units_usd, usage_rollup.units_usd, excluded.units_usd),
        first_time = least(usage_rollup.first_time, excluded.first_time),
        last_time = greatest(usage_rollup.last_time, excluded.last_time),
        partial = usage_rollup.partial + excluded.partial,
        free = usage_rollup.free + excluded.free,
        version = usage_rollup.version + 1
)
SELECT count(*) AS "added!" FROM added
