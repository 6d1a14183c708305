-- Events of sessions ($2) whose start lies between $3 and $4, narrowed as those by start.
SELECT
    event.start_time AS "start_time!", event.charge_time AS "charge_time!", event.end_time,
    event.shape_id AS "shape_id!", event.price_sheet_id, event.user_id, event.customer_id, event.session_id,
    event.parent_session_id, coalesce(event.root_session_id, event.session_id) AS root_session_id, event.thread_id,
    event.room_id, event.instance_id, event.workflow_id, event.panel_id, event.task_id, event.workflow_step,
    event.panel_position, event.panel_size, event.input_tokens, event.output_tokens, event.cache_read_tokens,
    event.cache_write_tokens, event.audio_in_tokens, event.image_in_tokens, event.video_in_tokens,
    event.cache_read_audio_tokens, event.cache_read_image_tokens, event.cache_read_video_tokens,
    event.tool_in_tokens, event.reasoning_tokens, event.audio_out_tokens, event.image_out_tokens,
    event.video_out_tokens, event.citation_tokens, event.attempt AS "attempt!", event.outcome IN (4, 5) AS "failed!",
    event.price_state AS "price_state!",
    coalesce(event.quality IN (3, 4), false) AS "estimated!", event.accounting = 2 AS "memo!",
    event.response_cache_hit AS "response_cache_hit!", event.usd AS "usd!", event.saved_usd,
    CASE WHEN coalesce(event.reported_currency, 'USD') = 'USD' THEN event.reported_cost END AS reported_usd,
    NULL::smallint AS sign, event.cache_write_ttls, event.units, event.additional,
    event.quality IS NOT NULL AS "used!", CASE WHEN $8::boolean THEN event.labels END AS labels
FROM usage_event_wide AS event
WHERE event.tenant_id = $1 AND event.session_id = ANY($2)
    AND date_bin('1 hour', event.start_time, '2000-01-01 00:00:00+00')
        >= date_bin('1 hour', $3::timestamptz, '2000-01-01 00:00:00+00')
    AND date_bin('1 hour', event.start_time, '2000-01-01 00:00:00+00')
        <= date_bin('1 hour', $4::timestamptz, '2000-01-01 00:00:00+00')
    AND event.start_time >= $3 AND event.start_time < $4
    AND ($5::bigint[] IS NULL OR event.shape_id = ANY($5))
    AND ($7::bigint[] IS NULL OR coalesce(
        CASE $6::smallint
            WHEN 4 THEN event.customer_id
            WHEN 6 THEN event.user_id
            WHEN 8 THEN event.session_id
            WHEN 9 THEN event.parent_session_id
            WHEN 10 THEN coalesce(event.root_session_id, event.session_id)
            WHEN 11 THEN event.thread_id
            WHEN 12 THEN event.room_id
            WHEN 13 THEN event.instance_id
            WHEN 21 THEN event.workflow_id
            WHEN 24 THEN event.panel_id
            WHEN 28 THEN event.task_id
        END,
        0
    ) = ANY($7))
LIMIT $9
