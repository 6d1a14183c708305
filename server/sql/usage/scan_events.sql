-- Events by rising start, after ($4, $5) where they are given. Narrowed by what the first row says ($6: shapes, $7: without
-- a complete price) only where no correction may say otherwise. The order begins with the indexed hour.
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
    AND event.start_time >= $2 AND event.start_time < $3
    AND date_bin('1 hour', event.start_time, '2000-01-01 00:00:00+00')
        >= date_bin('1 hour', coalesce($4, $2), '2000-01-01 00:00:00+00')
    AND date_bin('1 hour', event.start_time, '2000-01-01 00:00:00+00')
        <= date_bin('1 hour', $3, '2000-01-01 00:00:00+00')
    AND ($4::timestamptz IS NULL OR (event.start_time, event.event_id) > ($4, $5::uuid))
    AND (
        (($6::bigint[] IS NULL OR event.shape_id = ANY($6)) AND (NOT $7::boolean OR event.price_state IN (3, 4)))
        OR EXISTS (
            SELECT FROM usage_adjustment_wide AS leg WHERE leg.tenant_id = $1 AND leg.event_id = event.event_id
            OFFSET 0 -- One look at the key for an event: else every leg is read for a page of events.
        )
    )
ORDER BY date_bin('1 hour', event.start_time, '2000-01-01 00:00:00+00'), event.start_time, event.event_id
LIMIT $8
