-- Inserts new events; one that is there already is left as it is and not returned.
INSERT INTO usage_event (
    tenant_id,
    event_id, start_time, charge_time, record_time, end_time, time_to_first_token_us, shape_id, price_sheet_id,
    user_id, customer_id, session_id, parent_session_id, root_session_id, thread_id, room_id, instance_id,
    workflow_id, panel_id, task_id, input_tokens, output_tokens, reported_total, cache_read_tokens,
    cache_write_tokens, audio_in_tokens, image_in_tokens, video_in_tokens, cache_read_audio_tokens,
    cache_read_image_tokens, cache_read_video_tokens, tool_in_tokens, reasoning_tokens, audio_out_tokens,
    image_out_tokens, video_out_tokens, citation_tokens, fingerprint, reservation_id, workflow_step,
    panel_position, panel_size, fingerprint_version, attempt, outcome, price_state, quality, accounting, origin,
    notices, response_cache_hit, keep_open, usd, saved_usd, reported_cost, reported_currency, cache_write_ttls,
    units, labels, call_id, response_id, batch_id, error_type, trace_id, span_id, external_source, external_key,
    metadata, additional, usage_api
)
SELECT
    $1,
    event.event_id, event.start_time, event.charge_time, event.record_time, event.end_time,
    event.time_to_first_token_us, event.shape_id, event.price_sheet_id, event.user_id, event.customer_id,
    event.session_id, event.parent_session_id, event.root_session_id, event.thread_id, event.room_id,
    event.instance_id, event.workflow_id, event.panel_id, event.task_id, event.input_tokens, event.output_tokens,
    event.reported_total, event.cache_read_tokens, event.cache_write_tokens, event.audio_in_tokens,
    event.image_in_tokens, event.video_in_tokens, event.cache_read_audio_tokens, event.cache_read_image_tokens,
    event.cache_read_video_tokens, event.tool_in_tokens, event.reasoning_tokens, event.audio_out_tokens,
    event.image_out_tokens, event.video_out_tokens, event.citation_tokens, event.fingerprint, event.reservation_id,
    event.workflow_step, event.panel_position, event.panel_size, event.fingerprint_version, event.attempt,
    event.outcome, event.price_state, event.quality, event.accounting, event.origin, event.notices,
    event.response_cache_hit, event.keep_open, event.usd, event.saved_usd, event.reported_cost,
    event.reported_currency, event.cache_write_ttls, event.units, event.labels, event.call_id, event.response_id,
    event.batch_id, event.error_type, event.trace_id, event.span_id, event.external_source, event.external_key,
    event.metadata, event.additional, event.usage_api
FROM unnest($2::usage_event_v1[]) AS event
ON CONFLICT DO NOTHING
RETURNING event_id
