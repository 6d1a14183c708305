-- Appends legs of corrections: each carries the facts as an event does.
INSERT INTO usage_adjustment (
    tenant_id, revision, sign, kind, request_id, reason, adjust_time,
    event_id, fingerprint, start_time, record_time, shape_id, facts, price_sheet_id, trace_number, span_number,
    other_charge_time, other_end_time, user_id, session_id, input_tokens, output_tokens, duration_us,
    time_to_first_token_us, cache_read_tokens, customer_id, parent_session_id, root_session_id, thread_id,
    room_id, instance_id, workflow_id, panel_id, task_id, workflow_step, panel_position, panel_size,
    reported_total, cache_write_tokens, audio_in_tokens, image_in_tokens, video_in_tokens,
    cache_read_audio_tokens, cache_read_image_tokens, cache_read_video_tokens, tool_in_tokens, reasoning_tokens,
    audio_out_tokens, image_out_tokens, video_out_tokens, citation_tokens, reservation_id, notices, usd,
    saved_usd, reported_cost, reported_currency, cache_write_ttls, units, labels, call_id, response_id,
    batch_id, error_type, trace_id, span_id, external_source, external_key, metadata, additional, usage_api,
    wide
)
SELECT
    $1, leg.revision, leg.sign, leg.kind, leg.request_id, leg.reason, $8,
    event.event_id, event.fingerprint, event.start_time, event.record_time, event.shape_id, event.facts,
    event.price_sheet_id, event.trace_number, event.span_number, event.other_charge_time, event.other_end_time,
    event.user_id, event.session_id, event.input_tokens, event.output_tokens, event.duration_us,
    event.time_to_first_token_us, event.cache_read_tokens, event.customer_id, event.parent_session_id,
    event.root_session_id, event.thread_id, event.room_id, event.instance_id, event.workflow_id, event.panel_id,
    event.task_id, event.workflow_step, event.panel_position, event.panel_size, event.reported_total,
    event.cache_write_tokens, event.audio_in_tokens, event.image_in_tokens, event.video_in_tokens,
    event.cache_read_audio_tokens, event.cache_read_image_tokens, event.cache_read_video_tokens,
    event.tool_in_tokens, event.reasoning_tokens, event.audio_out_tokens, event.image_out_tokens,
    event.video_out_tokens, event.citation_tokens, event.reservation_id, event.notices, event.usd,
    event.saved_usd, event.reported_cost, event.reported_currency, event.cache_write_ttls, event.units,
    event.labels, event.call_id, event.response_id, event.batch_id, event.error_type, event.trace_id,
    event.span_id, event.external_source, event.external_key, event.metadata, event.additional, event.usage_api,
    event.wide
FROM unnest($2::usage_event_v2[]) WITH ORDINALITY AS event
JOIN unnest($3::bigint[], $4::smallint[], $5::smallint[], $6::uuid[], $7::text[])
    WITH ORDINALITY AS leg (revision, sign, kind, request_id, reason, ordinality) USING (ordinality)
