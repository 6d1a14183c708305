-- Events in fewer bytes: what is nearly always small is stored small, what is nearly always the same is not stored, and what is
-- a number is not stored as text. Nothing is lost: what does not fit stands in `wide`. Readers look at the views at the end,
-- which show every column in its full width.

-- Codes and flags of an event in one number, by their bits from the lowest: outcome 4, price state 3, quality 3 (0 = no usage),
-- accounting 2, origin 3, answered by a response cache 1, reservation kept open 1, version of the fingerprint 4, attempt 10
-- (0 = it stands in `wide`).
CREATE FUNCTION usage_facts(
    outcome integer, price_state integer, quality integer, accounting integer, origin integer, response_cache_hit boolean,
    keep_open boolean, fingerprint_version integer, attempt integer
) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT outcome | (price_state << 4) | (coalesce(quality, 0) << 7) | (accounting << 10) | (origin << 12)
        | (response_cache_hit::integer << 15) | (keep_open::integer << 16) | (fingerprint_version << 17)
        | (CASE WHEN attempt > 1023 THEN 0 ELSE attempt END << 21)
$$;

-- A number where four bytes hold it, and where they do not.
CREATE FUNCTION usage_narrow(number bigint) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN number BETWEEN -2147483648 AND 2147483647 THEN number::integer END
$$;
CREATE FUNCTION usage_wide(number bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN number NOT BETWEEN -2147483648 AND 2147483647 THEN number END
$$;

DROP INDEX usage_event_by_time, usage_event_by_session, usage_event_by_charge;
ALTER TABLE usage_event DROP CONSTRAINT usage_event_pkey;
ALTER TABLE usage_event RENAME TO usage_event_before;

-- One attempt of one call. The id's own time is the partition key, so that a retry always meets its first try. The order of the
-- columns leaves no gaps where the usual ones are set, and no more than 72 columns keep the row's map of NULLs within 9 bytes.
CREATE TABLE usage_event (
    event_id uuid NOT NULL, fingerprint uuid NOT NULL, start_time timestamptz NOT NULL, record_time timestamptz NOT
    NULL, tenant_id integer NOT NULL, shape_id integer, facts integer NOT NULL, price_sheet_id integer, trace_number
    uuid, span_number bigint, other_charge_time timestamptz, other_end_time timestamptz, user_id integer, session_id
    integer, input_tokens integer, output_tokens integer, duration_us integer, time_to_first_token_us integer,
    cache_read_tokens integer, customer_id integer, parent_session_id integer, root_session_id integer, thread_id
    integer, room_id integer, instance_id integer, workflow_id integer, panel_id integer, task_id integer,
    workflow_step integer, panel_position integer, panel_size integer, reported_total integer, cache_write_tokens
    integer, audio_in_tokens integer, image_in_tokens integer, video_in_tokens integer, cache_read_audio_tokens
    integer, cache_read_image_tokens integer, cache_read_video_tokens integer, tool_in_tokens integer,
    reasoning_tokens integer, audio_out_tokens integer, image_out_tokens integer, video_out_tokens integer,
    citation_tokens integer, reservation_id uuid, notices smallint NOT NULL, usd numeric(28,12) NOT NULL, saved_usd
    numeric(28,12), reported_cost numeric(28,12), reported_currency text, cache_write_ttls bigint[], units jsonb,
    labels jsonb, call_id text, response_id text, batch_id text, error_type text, trace_id text, span_id text,
    external_source text, external_key text, metadata text, additional jsonb, usage_api text, wide bigint[]
) PARTITION BY RANGE (event_id);
COMMENT ON COLUMN usage_event.facts IS 'codes and flags: see usage_facts';
COMMENT ON COLUMN usage_event.other_charge_time IS 'NULL = the start';
COMMENT ON COLUMN usage_event.duration_us IS 'from the start to the end; a longer one than four bytes hold stands in other_end_time';
COMMENT ON COLUMN usage_event.trace_number IS 'a trace id of 32 hexadecimal digits; another one stands in trace_id';
COMMENT ON COLUMN usage_event.span_number IS 'a span id of 16 hexadecimal digits; another one stands in span_id';
COMMENT ON COLUMN usage_event.wide IS 'numbers that do not fit their columns, by place: see usage_event_wide';

DO $$
DECLARE
    part record;
BEGIN
    FOR part IN
        SELECT class.relname AS name, pg_get_expr(class.relpartbound, class.oid) AS bound
        FROM pg_inherits
        JOIN pg_class AS class ON class.oid = pg_inherits.inhrelid
        WHERE pg_inherits.inhparent = 'usage_event_before'::regclass
    LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', part.name, 'before_' || part.name);
        EXECUTE format('CREATE TABLE %I PARTITION OF usage_event %s', part.name, part.bound);
    END LOOP;
END
$$;
INSERT INTO usage_event (
        tenant_id, event_id, fingerprint, start_time, record_time, shape_id, facts, price_sheet_id, trace_number,
        span_number, other_charge_time, other_end_time, user_id, session_id, input_tokens, output_tokens,
        duration_us, time_to_first_token_us, cache_read_tokens, customer_id, parent_session_id, root_session_id,
        thread_id, room_id, instance_id, workflow_id, panel_id, task_id, workflow_step, panel_position, panel_size,
        reported_total, cache_write_tokens, audio_in_tokens, image_in_tokens, video_in_tokens,
        cache_read_audio_tokens, cache_read_image_tokens, cache_read_video_tokens, tool_in_tokens, reasoning_tokens,
        audio_out_tokens, image_out_tokens, video_out_tokens, citation_tokens, reservation_id, notices, usd,
        saved_usd, reported_cost, reported_currency, cache_write_ttls, units, labels, call_id, response_id,
        batch_id, error_type, trace_id, span_id, external_source, external_key, metadata, additional, usage_api,
        wide
)
SELECT
    event.tenant_id,
    event.event_id,
    event.fingerprint,
    event.start_time,
    event.record_time,
    usage_narrow(event.shape_id),
    usage_facts(event.outcome, event.price_state, event.quality, event.accounting, event.origin, event.response_cache_hit, event.keep_open, event.fingerprint_version, event.attempt),
    usage_narrow(event.price_sheet_id),
    CASE WHEN event.trace_id ~ '^[0-9a-f]{32}$' THEN event.trace_id::uuid END,
    CASE WHEN event.span_id ~ '^[0-9a-f]{16}$' THEN ('x' || event.span_id)::bit(64)::bigint END,
    nullif(event.charge_time, event.start_time),
    CASE WHEN usage_narrow((extract(epoch FROM event.end_time - event.start_time) * 1000000)::bigint) IS NULL THEN event.end_time END,
    usage_narrow(event.user_id),
    usage_narrow(event.session_id),
    usage_narrow(event.input_tokens),
    usage_narrow(event.output_tokens),
    usage_narrow((extract(epoch FROM event.end_time - event.start_time) * 1000000)::bigint),
    usage_narrow(event.time_to_first_token_us),
    usage_narrow(event.cache_read_tokens),
    usage_narrow(event.customer_id),
    usage_narrow(event.parent_session_id),
    usage_narrow(event.root_session_id),
    usage_narrow(event.thread_id),
    usage_narrow(event.room_id),
    usage_narrow(event.instance_id),
    usage_narrow(event.workflow_id),
    usage_narrow(event.panel_id),
    usage_narrow(event.task_id),
    event.workflow_step,
    event.panel_position,
    event.panel_size,
    usage_narrow(event.reported_total),
    usage_narrow(event.cache_write_tokens),
    usage_narrow(event.audio_in_tokens),
    usage_narrow(event.image_in_tokens),
    usage_narrow(event.video_in_tokens),
    usage_narrow(event.cache_read_audio_tokens),
    usage_narrow(event.cache_read_image_tokens),
    usage_narrow(event.cache_read_video_tokens),
    usage_narrow(event.tool_in_tokens),
    usage_narrow(event.reasoning_tokens),
    usage_narrow(event.audio_out_tokens),
    usage_narrow(event.image_out_tokens),
    usage_narrow(event.video_out_tokens),
    usage_narrow(event.citation_tokens),
    event.reservation_id,
    event.notices,
    event.usd,
    event.saved_usd,
    event.reported_cost,
    event.reported_currency,
    event.cache_write_ttls,
    event.units,
    event.labels,
    event.call_id,
    event.response_id,
    event.batch_id,
    event.error_type,
    CASE WHEN event.trace_id !~ '^[0-9a-f]{32}$' THEN event.trace_id END,
    CASE WHEN event.span_id !~ '^[0-9a-f]{16}$' THEN event.span_id END,
    event.external_source,
    event.external_key,
    event.metadata,
    event.additional,
    event.usage_api,
    nullif(ARRAY[
        CASE WHEN event.attempt > 1023 THEN event.attempt END,
        usage_wide(event.time_to_first_token_us),
        usage_wide(event.shape_id),
        usage_wide(event.price_sheet_id),
        usage_wide(event.user_id),
        usage_wide(event.customer_id),
        usage_wide(event.session_id),
        usage_wide(event.parent_session_id),
        usage_wide(event.root_session_id),
        usage_wide(event.thread_id),
        usage_wide(event.room_id),
        usage_wide(event.instance_id),
        usage_wide(event.workflow_id),
        usage_wide(event.panel_id),
        usage_wide(event.task_id),
        usage_wide(event.input_tokens),
        usage_wide(event.output_tokens),
        usage_wide(event.reported_total),
        usage_wide(event.cache_read_tokens),
        usage_wide(event.cache_write_tokens),
        usage_wide(event.audio_in_tokens),
        usage_wide(event.image_in_tokens),
        usage_wide(event.video_in_tokens),
        usage_wide(event.cache_read_audio_tokens),
        usage_wide(event.cache_read_image_tokens),
        usage_wide(event.cache_read_video_tokens),
        usage_wide(event.tool_in_tokens),
        usage_wide(event.reasoning_tokens),
        usage_wide(event.audio_out_tokens),
        usage_wide(event.image_out_tokens),
        usage_wide(event.video_out_tokens),
        usage_wide(event.citation_tokens)
    ]::bigint[], array_fill(NULL::bigint, ARRAY[32]))
FROM usage_event_before AS event;
DROP TABLE usage_event_before;
ALTER TABLE usage_event ADD PRIMARY KEY (tenant_id, event_id);
CREATE INDEX usage_event_by_time ON usage_event
    (tenant_id, date_bin('1 hour', start_time, '2000-01-01 00:00:00+00'));
CREATE INDEX usage_event_by_session ON usage_event
    (tenant_id, coalesce(session_id, wide[7]), date_bin('1 hour', start_time, '2000-01-01 00:00:00+00'))
    WHERE coalesce(session_id, wide[7]) IS NOT NULL;
CREATE INDEX usage_event_by_charge ON usage_event USING brin ((coalesce(other_charge_time, start_time)));

ALTER TABLE usage_adjustment RENAME TO usage_adjustment_before;
DROP INDEX usage_adjustment_by_time, usage_adjustment_by_session, usage_adjustment_by_charge;
ALTER TABLE usage_adjustment_before DROP CONSTRAINT usage_adjustment_pkey;
-- As on usage_event.
CREATE TABLE usage_adjustment (
    LIKE usage_event INCLUDING COMMENTS,
    -- The event's first row is revision 1.
    revision bigint NOT NULL CHECK (revision > 1),
    sign smallint NOT NULL CHECK (sign IN (-1, 1)),
    -- 1 cancelled, 2 replaced, 3 reattributed, 4 repriced.
    kind smallint NOT NULL,
    request_id uuid NOT NULL,
    reason text NOT NULL,
    adjust_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, event_id, revision, sign)
);
CREATE INDEX usage_adjustment_by_time ON usage_adjustment
    (tenant_id, date_bin('1 hour', start_time, '2000-01-01 00:00:00+00'));
CREATE INDEX usage_adjustment_by_session ON usage_adjustment
    (tenant_id, coalesce(session_id, wide[7]), date_bin('1 hour', start_time, '2000-01-01 00:00:00+00'))
    WHERE coalesce(session_id, wide[7]) IS NOT NULL;
CREATE INDEX usage_adjustment_by_charge ON usage_adjustment
    (tenant_id, date_bin('1 hour', coalesce(other_charge_time, start_time), '2000-01-01 00:00:00+00'));
INSERT INTO usage_adjustment (
        tenant_id, event_id, fingerprint, start_time, record_time, shape_id, facts, price_sheet_id, trace_number,
        span_number, other_charge_time, other_end_time, user_id, session_id, input_tokens, output_tokens,
        duration_us, time_to_first_token_us, cache_read_tokens, customer_id, parent_session_id, root_session_id,
        thread_id, room_id, instance_id, workflow_id, panel_id, task_id, workflow_step, panel_position, panel_size,
        reported_total, cache_write_tokens, audio_in_tokens, image_in_tokens, video_in_tokens,
        cache_read_audio_tokens, cache_read_image_tokens, cache_read_video_tokens, tool_in_tokens, reasoning_tokens,
        audio_out_tokens, image_out_tokens, video_out_tokens, citation_tokens, reservation_id, notices, usd,
        saved_usd, reported_cost, reported_currency, cache_write_ttls, units, labels, call_id, response_id,
        batch_id, error_type, trace_id, span_id, external_source, external_key, metadata, additional, usage_api,
        wide,
        revision, sign, kind, request_id, reason, adjust_time
)
SELECT
    event.tenant_id,
    event.event_id,
    event.fingerprint,
    event.start_time,
    event.record_time,
    usage_narrow(event.shape_id),
    usage_facts(event.outcome, event.price_state, event.quality, event.accounting, event.origin, event.response_cache_hit, event.keep_open, event.fingerprint_version, event.attempt),
    usage_narrow(event.price_sheet_id),
    CASE WHEN event.trace_id ~ '^[0-9a-f]{32}$' THEN event.trace_id::uuid END,
    CASE WHEN event.span_id ~ '^[0-9a-f]{16}$' THEN ('x' || event.span_id)::bit(64)::bigint END,
    nullif(event.charge_time, event.start_time),
    CASE WHEN usage_narrow((extract(epoch FROM event.end_time - event.start_time) * 1000000)::bigint) IS NULL THEN event.end_time END,
    usage_narrow(event.user_id),
    usage_narrow(event.session_id),
    usage_narrow(event.input_tokens),
    usage_narrow(event.output_tokens),
    usage_narrow((extract(epoch FROM event.end_time - event.start_time) * 1000000)::bigint),
    usage_narrow(event.time_to_first_token_us),
    usage_narrow(event.cache_read_tokens),
    usage_narrow(event.customer_id),
    usage_narrow(event.parent_session_id),
    usage_narrow(event.root_session_id),
    usage_narrow(event.thread_id),
    usage_narrow(event.room_id),
    usage_narrow(event.instance_id),
    usage_narrow(event.workflow_id),
    usage_narrow(event.panel_id),
    usage_narrow(event.task_id),
    event.workflow_step,
    event.panel_position,
    event.panel_size,
    usage_narrow(event.reported_total),
    usage_narrow(event.cache_write_tokens),
    usage_narrow(event.audio_in_tokens),
    usage_narrow(event.image_in_tokens),
    usage_narrow(event.video_in_tokens),
    usage_narrow(event.cache_read_audio_tokens),
    usage_narrow(event.cache_read_image_tokens),
    usage_narrow(event.cache_read_video_tokens),
    usage_narrow(event.tool_in_tokens),
    usage_narrow(event.reasoning_tokens),
    usage_narrow(event.audio_out_tokens),
    usage_narrow(event.image_out_tokens),
    usage_narrow(event.video_out_tokens),
    usage_narrow(event.citation_tokens),
    event.reservation_id,
    event.notices,
    event.usd,
    event.saved_usd,
    event.reported_cost,
    event.reported_currency,
    event.cache_write_ttls,
    event.units,
    event.labels,
    event.call_id,
    event.response_id,
    event.batch_id,
    event.error_type,
    CASE WHEN event.trace_id !~ '^[0-9a-f]{32}$' THEN event.trace_id END,
    CASE WHEN event.span_id !~ '^[0-9a-f]{16}$' THEN event.span_id END,
    event.external_source,
    event.external_key,
    event.metadata,
    event.additional,
    event.usage_api,
    nullif(ARRAY[
        CASE WHEN event.attempt > 1023 THEN event.attempt END,
        usage_wide(event.time_to_first_token_us),
        usage_wide(event.shape_id),
        usage_wide(event.price_sheet_id),
        usage_wide(event.user_id),
        usage_wide(event.customer_id),
        usage_wide(event.session_id),
        usage_wide(event.parent_session_id),
        usage_wide(event.root_session_id),
        usage_wide(event.thread_id),
        usage_wide(event.room_id),
        usage_wide(event.instance_id),
        usage_wide(event.workflow_id),
        usage_wide(event.panel_id),
        usage_wide(event.task_id),
        usage_wide(event.input_tokens),
        usage_wide(event.output_tokens),
        usage_wide(event.reported_total),
        usage_wide(event.cache_read_tokens),
        usage_wide(event.cache_write_tokens),
        usage_wide(event.audio_in_tokens),
        usage_wide(event.image_in_tokens),
        usage_wide(event.video_in_tokens),
        usage_wide(event.cache_read_audio_tokens),
        usage_wide(event.cache_read_image_tokens),
        usage_wide(event.cache_read_video_tokens),
        usage_wide(event.tool_in_tokens),
        usage_wide(event.reasoning_tokens),
        usage_wide(event.audio_out_tokens),
        usage_wide(event.image_out_tokens),
        usage_wide(event.video_out_tokens),
        usage_wide(event.citation_tokens)
    ]::bigint[], array_fill(NULL::bigint, ARRAY[32])),
    event.revision, event.sign, event.kind, event.request_id, event.reason, event.adjust_time
FROM usage_adjustment_before AS event;
DROP TABLE usage_adjustment_before;
DROP FUNCTION usage_narrow(bigint), usage_wide(bigint);

-- What one insert of events carries.
CREATE TYPE usage_event_v2 AS (
    event_id uuid, fingerprint uuid, start_time timestamptz, record_time timestamptz, shape_id integer, facts integer,
    price_sheet_id integer, trace_number uuid, span_number bigint, other_charge_time timestamptz, other_end_time
    timestamptz, user_id integer, session_id integer, input_tokens integer, output_tokens integer, duration_us
    integer, time_to_first_token_us integer, cache_read_tokens integer, customer_id integer, parent_session_id
    integer, root_session_id integer, thread_id integer, room_id integer, instance_id integer, workflow_id integer,
    panel_id integer, task_id integer, workflow_step integer, panel_position integer, panel_size integer,
    reported_total integer, cache_write_tokens integer, audio_in_tokens integer, image_in_tokens integer,
    video_in_tokens integer, cache_read_audio_tokens integer, cache_read_image_tokens integer, cache_read_video_tokens
    integer, tool_in_tokens integer, reasoning_tokens integer, audio_out_tokens integer, image_out_tokens integer,
    video_out_tokens integer, citation_tokens integer, reservation_id uuid, notices smallint, usd numeric(28,12),
    saved_usd numeric(28,12), reported_cost numeric(28,12), reported_currency text, cache_write_ttls bigint[], units
    jsonb, labels jsonb, call_id text, response_id text, batch_id text, error_type text, trace_id text, span_id text,
    external_source text, external_key text, metadata text, additional jsonb, usage_api text, wide bigint[]
);

-- Events in full width, as readers want them: columns as in usage_event_v1.
CREATE VIEW usage_event_wide AS
SELECT
    event.tenant_id,
    event.event_id,
    event.start_time,
    coalesce(event.other_charge_time, event.start_time) AS charge_time,
    event.record_time,
    coalesce(event.other_end_time, event.start_time + event.duration_us * interval '1 microsecond') AS end_time,
    coalesce(event.time_to_first_token_us, event.wide[2]) AS time_to_first_token_us,
    coalesce(event.shape_id, event.wide[3]) AS shape_id,
    coalesce(event.price_sheet_id, event.wide[4]) AS price_sheet_id,
    coalesce(event.user_id, event.wide[5]) AS user_id,
    coalesce(event.customer_id, event.wide[6]) AS customer_id,
    coalesce(event.session_id, event.wide[7]) AS session_id,
    coalesce(event.parent_session_id, event.wide[8]) AS parent_session_id,
    coalesce(event.root_session_id, event.wide[9]) AS root_session_id,
    coalesce(event.thread_id, event.wide[10]) AS thread_id,
    coalesce(event.room_id, event.wide[11]) AS room_id,
    coalesce(event.instance_id, event.wide[12]) AS instance_id,
    coalesce(event.workflow_id, event.wide[13]) AS workflow_id,
    coalesce(event.panel_id, event.wide[14]) AS panel_id,
    coalesce(event.task_id, event.wide[15]) AS task_id,
    coalesce(event.input_tokens, event.wide[16]) AS input_tokens,
    coalesce(event.output_tokens, event.wide[17]) AS output_tokens,
    coalesce(event.reported_total, event.wide[18]) AS reported_total,
    coalesce(event.cache_read_tokens, event.wide[19]) AS cache_read_tokens,
    coalesce(event.cache_write_tokens, event.wide[20]) AS cache_write_tokens,
    coalesce(event.audio_in_tokens, event.wide[21]) AS audio_in_tokens,
    coalesce(event.image_in_tokens, event.wide[22]) AS image_in_tokens,
    coalesce(event.video_in_tokens, event.wide[23]) AS video_in_tokens,
    coalesce(event.cache_read_audio_tokens, event.wide[24]) AS cache_read_audio_tokens,
    coalesce(event.cache_read_image_tokens, event.wide[25]) AS cache_read_image_tokens,
    coalesce(event.cache_read_video_tokens, event.wide[26]) AS cache_read_video_tokens,
    coalesce(event.tool_in_tokens, event.wide[27]) AS tool_in_tokens,
    coalesce(event.reasoning_tokens, event.wide[28]) AS reasoning_tokens,
    coalesce(event.audio_out_tokens, event.wide[29]) AS audio_out_tokens,
    coalesce(event.image_out_tokens, event.wide[30]) AS image_out_tokens,
    coalesce(event.video_out_tokens, event.wide[31]) AS video_out_tokens,
    coalesce(event.citation_tokens, event.wide[32]) AS citation_tokens,
    event.fingerprint,
    event.reservation_id,
    event.workflow_step,
    event.panel_position,
    event.panel_size,
    (event.facts >> 17 & 15)::smallint AS fingerprint_version,
    coalesce(nullif(event.facts >> 21 & 1023, 0), event.wide[1])::smallint AS attempt,
    (event.facts >> 0 & 15)::smallint AS outcome,
    (event.facts >> 4 & 7)::smallint AS price_state,
    nullif(event.facts >> 7 & 7, 0)::smallint AS quality,
    (event.facts >> 10 & 3)::smallint AS accounting,
    (event.facts >> 12 & 7)::smallint AS origin,
    event.notices,
    (event.facts >> 15 & 1) = 1 AS response_cache_hit,
    (event.facts >> 16 & 1) = 1 AS keep_open,
    event.usd,
    event.saved_usd,
    event.reported_cost,
    event.reported_currency,
    event.cache_write_ttls,
    event.units,
    event.labels,
    event.call_id,
    event.response_id,
    event.batch_id,
    event.error_type,
    coalesce(replace(event.trace_number::text, '-', ''), event.trace_id) AS trace_id,
    coalesce(lpad(to_hex(event.span_number), 16, '0'), event.span_id) AS span_id,
    event.external_source,
    event.external_key,
    event.metadata,
    event.additional,
    event.usage_api
FROM usage_event AS event;

CREATE VIEW usage_adjustment_wide AS
SELECT
    event.tenant_id,
    event.event_id,
    event.start_time,
    coalesce(event.other_charge_time, event.start_time) AS charge_time,
    event.record_time,
    coalesce(event.other_end_time, event.start_time + event.duration_us * interval '1 microsecond') AS end_time,
    coalesce(event.time_to_first_token_us, event.wide[2]) AS time_to_first_token_us,
    coalesce(event.shape_id, event.wide[3]) AS shape_id,
    coalesce(event.price_sheet_id, event.wide[4]) AS price_sheet_id,
    coalesce(event.user_id, event.wide[5]) AS user_id,
    coalesce(event.customer_id, event.wide[6]) AS customer_id,
    coalesce(event.session_id, event.wide[7]) AS session_id,
    coalesce(event.parent_session_id, event.wide[8]) AS parent_session_id,
    coalesce(event.root_session_id, event.wide[9]) AS root_session_id,
    coalesce(event.thread_id, event.wide[10]) AS thread_id,
    coalesce(event.room_id, event.wide[11]) AS room_id,
    coalesce(event.instance_id, event.wide[12]) AS instance_id,
    coalesce(event.workflow_id, event.wide[13]) AS workflow_id,
    coalesce(event.panel_id, event.wide[14]) AS panel_id,
    coalesce(event.task_id, event.wide[15]) AS task_id,
    coalesce(event.input_tokens, event.wide[16]) AS input_tokens,
    coalesce(event.output_tokens, event.wide[17]) AS output_tokens,
    coalesce(event.reported_total, event.wide[18]) AS reported_total,
    coalesce(event.cache_read_tokens, event.wide[19]) AS cache_read_tokens,
    coalesce(event.cache_write_tokens, event.wide[20]) AS cache_write_tokens,
    coalesce(event.audio_in_tokens, event.wide[21]) AS audio_in_tokens,
    coalesce(event.image_in_tokens, event.wide[22]) AS image_in_tokens,
    coalesce(event.video_in_tokens, event.wide[23]) AS video_in_tokens,
    coalesce(event.cache_read_audio_tokens, event.wide[24]) AS cache_read_audio_tokens,
    coalesce(event.cache_read_image_tokens, event.wide[25]) AS cache_read_image_tokens,
    coalesce(event.cache_read_video_tokens, event.wide[26]) AS cache_read_video_tokens,
    coalesce(event.tool_in_tokens, event.wide[27]) AS tool_in_tokens,
    coalesce(event.reasoning_tokens, event.wide[28]) AS reasoning_tokens,
    coalesce(event.audio_out_tokens, event.wide[29]) AS audio_out_tokens,
    coalesce(event.image_out_tokens, event.wide[30]) AS image_out_tokens,
    coalesce(event.video_out_tokens, event.wide[31]) AS video_out_tokens,
    coalesce(event.citation_tokens, event.wide[32]) AS citation_tokens,
    event.fingerprint,
    event.reservation_id,
    event.workflow_step,
    event.panel_position,
    event.panel_size,
    (event.facts >> 17 & 15)::smallint AS fingerprint_version,
    coalesce(nullif(event.facts >> 21 & 1023, 0), event.wide[1])::smallint AS attempt,
    (event.facts >> 0 & 15)::smallint AS outcome,
    (event.facts >> 4 & 7)::smallint AS price_state,
    nullif(event.facts >> 7 & 7, 0)::smallint AS quality,
    (event.facts >> 10 & 3)::smallint AS accounting,
    (event.facts >> 12 & 7)::smallint AS origin,
    event.notices,
    (event.facts >> 15 & 1) = 1 AS response_cache_hit,
    (event.facts >> 16 & 1) = 1 AS keep_open,
    event.usd,
    event.saved_usd,
    event.reported_cost,
    event.reported_currency,
    event.cache_write_ttls,
    event.units,
    event.labels,
    event.call_id,
    event.response_id,
    event.batch_id,
    event.error_type,
    coalesce(replace(event.trace_number::text, '-', ''), event.trace_id) AS trace_id,
    coalesce(lpad(to_hex(event.span_number), 16, '0'), event.span_id) AS span_id,
    event.external_source,
    event.external_key,
    event.metadata,
    event.additional,
    event.usage_api,
    event.revision,
    event.sign,
    event.kind,
    event.request_id,
    event.reason,
    event.adjust_time
FROM usage_adjustment AS event;
