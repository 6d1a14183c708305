-- The newest correction of each event: what it should be, or, of a cancelled one, what it was.
SELECT DISTINCT ON (event.event_id)
    event.revision AS "revision!",
    event.sign = -1 AS "cancelled!",
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
FROM usage_adjustment_wide AS event
WHERE event.tenant_id = $1 AND event.event_id = ANY($2)
ORDER BY event.event_id, event.revision DESC, event.sign DESC
