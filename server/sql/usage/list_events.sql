-- History, newest start first. The order begins with the indexed hour, so that only the rows of an hour are sorted.
SELECT
    ROW(
        event.event_id, event.start_time, event.charge_time, event.record_time, event.end_time,
        event.time_to_first_token_us, event.shape_id, event.price_sheet_id, event.user_id, event.customer_id,
        event.session_id, event.parent_session_id, event.root_session_id, event.thread_id, event.room_id,
        event.instance_id, event.workflow_id, event.panel_id, event.task_id, event.input_tokens,
        event.output_tokens, event.reported_total, event.cache_read_tokens, event.cache_write_tokens,
        event.audio_in_tokens, event.image_in_tokens, event.video_in_tokens, event.cache_read_audio_tokens,
        event.cache_read_image_tokens, event.cache_read_video_tokens, event.tool_in_tokens, event.reasoning_tokens,
        event.audio_out_tokens, event.image_out_tokens, event.video_out_tokens, event.citation_tokens,
        event.fingerprint, event.reservation_id, event.workflow_step, event.panel_position, event.panel_size,
        event.fingerprint_version, event.attempt, event.outcome, event.price_state, event.quality,
        event.accounting, event.origin, event.notices, event.response_cache_hit, event.keep_open, event.usd,
        event.saved_usd, event.reported_cost, event.reported_currency, event.cache_write_ttls, event.units,
        event.labels, event.call_id, event.response_id, event.batch_id, event.error_type, event.trace_id,
        event.span_id, event.external_source, event.external_key, event.metadata,
        event.additional, event.usage_api
    )::usage_event_v1 AS "event!: EventRow"
FROM usage_event_wide AS event
WHERE event.tenant_id = $1
    AND ($2::timestamptz IS NULL OR event.start_time >= $2)
    AND ($2::timestamptz IS NULL
        OR date_bin('1 hour', event.start_time, '2000-01-01 00:00:00+00')
            >= date_bin('1 hour', $2, '2000-01-01 00:00:00+00'))
    AND ($3::timestamptz IS NULL OR event.start_time < $3)
    AND ($3::timestamptz IS NULL
        OR date_bin('1 hour', event.start_time, '2000-01-01 00:00:00+00')
            <= date_bin('1 hour', $3, '2000-01-01 00:00:00+00'))
    AND ($4::bigint IS NULL OR event.session_id = $4)
    AND ($5::bigint[] IS NULL OR event.shape_id = ANY($5))
    AND ($6::uuid IS NULL OR event.reservation_id = $6)
    AND ($7::timestamptz IS NULL
        OR date_bin('1 hour', event.start_time, '2000-01-01 00:00:00+00')
            <= date_bin('1 hour', $7, '2000-01-01 00:00:00+00'))
    AND ($7::timestamptz IS NULL OR (event.start_time, event.event_id) < ($7, $8::uuid))
    AND NOT EXISTS (
        SELECT FROM unnest($9::smallint[], $10::jsonb[], $11::boolean[]) AS condition (code, accepted, negated)
        WHERE condition.negated = (condition.accepted @> to_jsonb(coalesce(
            CASE condition.code
                WHEN 4 THEN event.customer_id
                WHEN 6 THEN event.user_id
                WHEN 8 THEN event.session_id
                WHEN 9 THEN event.parent_session_id
                WHEN 10 THEN event.root_session_id
                WHEN 11 THEN event.thread_id
                WHEN 12 THEN event.room_id
                WHEN 13 THEN event.instance_id
                WHEN 21 THEN event.workflow_id
                WHEN 24 THEN event.panel_id
                WHEN 28 THEN event.task_id
            END,
            0
        )))
    )
ORDER BY
    date_bin('1 hour', event.start_time, '2000-01-01 00:00:00+00') DESC,
    event.start_time DESC,
    event.event_id DESC
LIMIT $12
