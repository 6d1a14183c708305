-- Corrections event by event: revisions have no gap; a reversing leg is exactly the facts of the revision before, and is
-- there wherever there were facts. The first row is what revision 1 added. Of events with a leg that starts in [$2, $3), where
-- they are given; names at most $4 rows.
WITH chosen AS (
    SELECT DISTINCT event_id
    FROM usage_adjustment_wide
    WHERE tenant_id = $1
        AND ($2::timestamptz IS NULL OR (
            date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') >= date_bin('1 hour', $2, '2000-01-01 00:00:00+00')
            AND date_bin('1 hour', start_time, '2000-01-01 00:00:00+00') < $3::timestamptz
            AND start_time >= $2 AND start_time < $3
        ))
), leg AS (
    SELECT
        event.event_id, 1::bigint AS revision, 1::smallint AS sign,
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
            event.span_id, event.external_source, event.external_key, event.metadata, event.additional, event.usage_api
        )::usage_event_v1 AS facts
    FROM usage_event_wide AS event
    WHERE event.tenant_id = $1
        AND event.event_id IN (SELECT event_id FROM chosen)
    UNION ALL
    SELECT
        event.event_id, event.revision, event.sign,
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
            event.span_id, event.external_source, event.external_key, event.metadata, event.additional, event.usage_api
        )::usage_event_v1 AS facts
    FROM usage_adjustment_wide AS event
    WHERE event.tenant_id = $1
        AND event.event_id IN (SELECT event_id FROM chosen)
), revision AS (
    SELECT event_id, revision, lag(revision, 1, 0::bigint) OVER (PARTITION BY event_id ORDER BY revision) AS before
    FROM (SELECT DISTINCT event_id, revision FROM leg) AS numbered
), compared AS (
    SELECT
        revision.event_id, revision.revision, revision.before, added.facts AS facts_before, reversed.facts AS reversed,
        revision.revision <> revision.before + 1 AS leaves_gap,
        added.facts IS DISTINCT FROM reversed.facts AS differs
    FROM revision
    LEFT JOIN leg AS added ON added.event_id = revision.event_id
        AND added.revision = revision.revision - 1 AND added.sign = 1
    LEFT JOIN leg AS reversed ON reversed.event_id = revision.event_id
        AND reversed.revision = revision.revision AND reversed.sign = -1
    WHERE revision.revision > 1
)
SELECT
    count(*) AS "rows!",
    count(*) FILTER (WHERE leaves_gap OR differs) AS "drifting!",
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', format('event %s, revision %s', drifting.event_id, drifting.revision),
            'differences',
            CASE WHEN drifting.leaves_gap THEN jsonb_build_array(jsonb_build_object(
                'figure', 'revision', 'ledger', (drifting.before + 1)::text, 'stored', drifting.revision::text
            )) ELSE '[]' END
            || (
                SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'figure', key, 'ledger', ours.value #>> '{}', 'stored', theirs.value #>> '{}'
                ) ORDER BY key), '[]')
                FROM jsonb_each(coalesce(to_jsonb(drifting.facts_before), '{}')) AS ours (key, value)
                FULL JOIN jsonb_each(coalesce(to_jsonb(drifting.reversed), '{}')) AS theirs (key, value) USING (key)
                WHERE nullif(ours.value, 'null') IS DISTINCT FROM nullif(theirs.value, 'null')
            )
        )), '[]')
        FROM (SELECT * FROM compared WHERE leaves_gap OR differs ORDER BY event_id, revision LIMIT $4) AS drifting
    ) AS "examples!"
FROM compared
