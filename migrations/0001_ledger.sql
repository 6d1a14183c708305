-- The ledger: dictionaries, events, totals, rollups, budgets and reservations.
-- Every tenant table has the tenant in its primary key, so that the schema distributes by tenant.

CREATE TABLE tenant (
    tenant_id integer PRIMARY KEY,
    name text NOT NULL UNIQUE,
    -- Rises with every change of the tenant's budgets: a replica that holds another version reloads them.
    budgets_version bigint NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tenant (tenant_id, name) VALUES (1, 'local');

-- Dimension values with many different ones, by dimension code: events carry the number.
CREATE TABLE symbol (
    tenant_id integer NOT NULL,
    symbol_id bigint GENERATED ALWAYS AS IDENTITY,
    dimension smallint NOT NULL,
    value text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, symbol_id),
    UNIQUE (tenant_id, dimension, value)
);

-- Combinations of the dimensions with few values, with the models: events and rollups carry the number.
CREATE TABLE shape (
    tenant_id integer NOT NULL,
    shape_id bigint GENERATED ALWAYS AS IDENTITY,
    digest uuid NOT NULL,
    content jsonb NOT NULL,
    PRIMARY KEY (tenant_id, shape_id),
    UNIQUE (tenant_id, digest)
);

-- Unit prices as they were applied: an event's cost lines are its counts times these.
CREATE TABLE price_sheet (
    tenant_id integer NOT NULL,
    price_sheet_id bigint GENERATED ALWAYS AS IDENTITY,
    digest uuid NOT NULL,
    content jsonb NOT NULL,
    PRIMARY KEY (tenant_id, price_sheet_id),
    UNIQUE (tenant_id, digest)
);

-- One attempt of one call. The id's own time is the partition key, so that a retry always meets its first try.
CREATE TABLE usage_event (
    tenant_id integer NOT NULL,
    event_id uuid NOT NULL, start_time timestamptz NOT NULL, charge_time timestamptz NOT NULL,
    record_time timestamptz NOT NULL, end_time timestamptz, time_to_first_token_us bigint,
    shape_id bigint NOT NULL, price_sheet_id bigint, user_id bigint, customer_id bigint, session_id bigint,
    parent_session_id bigint, root_session_id bigint, thread_id bigint, room_id bigint, instance_id bigint,
    workflow_id bigint, panel_id bigint, task_id bigint, input_tokens bigint, output_tokens bigint,
    reported_total bigint, cache_read_tokens bigint, cache_write_tokens bigint, audio_in_tokens bigint,
    image_in_tokens bigint, video_in_tokens bigint, cache_read_audio_tokens bigint, cache_read_image_tokens bigint,
    cache_read_video_tokens bigint, tool_in_tokens bigint, reasoning_tokens bigint, audio_out_tokens bigint,
    image_out_tokens bigint, video_out_tokens bigint, citation_tokens bigint, fingerprint uuid NOT NULL,
    reservation_id uuid, workflow_step integer, panel_position integer, panel_size integer,
    fingerprint_version smallint NOT NULL, attempt smallint NOT NULL, outcome smallint NOT NULL,
    price_state smallint NOT NULL, quality smallint, accounting smallint NOT NULL, origin smallint NOT NULL,
    notices smallint NOT NULL, response_cache_hit boolean NOT NULL, keep_open boolean NOT NULL,
    usd numeric(28,12) NOT NULL, saved_usd numeric(28,12), reported_cost numeric(28,12), reported_currency text,
    cache_write_ttls bigint[], units jsonb, labels jsonb, call_id text, response_id text, batch_id text,
    error_type text, trace_id text, span_id text, external_source text, external_key text, metadata text,
    PRIMARY KEY (tenant_id, event_id)
) PARTITION BY RANGE (event_id);
-- By hour buckets, whose entries deduplicate: a fifth of the size of an index by time.
CREATE INDEX usage_event_by_time ON usage_event
    (tenant_id, date_bin('1 hour', start_time, '2000-01-01 00:00:00+00'));
CREATE INDEX usage_event_by_session ON usage_event
    (tenant_id, session_id, date_bin('1 hour', start_time, '2000-01-01 00:00:00+00')) WHERE session_id IS NOT NULL;

-- For what is asked by charge time: a budget that counts back, summaries by charge time.
CREATE INDEX usage_event_by_charge ON usage_event USING brin (charge_time);

-- What one insert of events carries: a type of its own, so that the table can grow columns under an older server.
CREATE TYPE usage_event_v1 AS (
    event_id uuid, start_time timestamptz, charge_time timestamptz, record_time timestamptz, end_time timestamptz,
    time_to_first_token_us bigint, shape_id bigint, price_sheet_id bigint, user_id bigint, customer_id bigint,
    session_id bigint, parent_session_id bigint, root_session_id bigint, thread_id bigint, room_id bigint,
    instance_id bigint, workflow_id bigint, panel_id bigint, task_id bigint, input_tokens bigint,
    output_tokens bigint, reported_total bigint, cache_read_tokens bigint, cache_write_tokens bigint,
    audio_in_tokens bigint, image_in_tokens bigint, video_in_tokens bigint, cache_read_audio_tokens bigint,
    cache_read_image_tokens bigint, cache_read_video_tokens bigint, tool_in_tokens bigint, reasoning_tokens bigint,
    audio_out_tokens bigint, image_out_tokens bigint, video_out_tokens bigint, citation_tokens bigint,
    fingerprint uuid, reservation_id uuid, workflow_step integer, panel_position integer, panel_size integer,
    fingerprint_version smallint, attempt smallint, outcome smallint, price_state smallint, quality smallint,
    accounting smallint, origin smallint, notices smallint, response_cache_hit boolean, keep_open boolean,
    usd numeric(28,12), saved_usd numeric(28,12), reported_cost numeric(28,12), reported_currency text,
    cache_write_ttls bigint[], units jsonb, labels jsonb, call_id text, response_id text, batch_id text,
    error_type text, trace_id text, span_id text, external_source text, external_key text, metadata text
);

-- Keys of other systems, as long as their event lives.
CREATE TABLE external_key (
    tenant_id integer NOT NULL,
    source text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    event_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, source, key)
);

-- What is summed. NULL in a sum = never reported.
CREATE TYPE measures AS (
    calls bigint, attempts bigint, errors bigint, unpriced bigint, estimated bigint, response_cache_hits bigint,
    input_tokens bigint, output_tokens bigint, cache_read_tokens bigint, cache_write_tokens bigint,
    audio_in_tokens bigint, image_in_tokens bigint, video_in_tokens bigint, cache_read_audio_tokens bigint,
    cache_read_image_tokens bigint, cache_read_video_tokens bigint, tool_in_tokens bigint, reasoning_tokens bigint,
    audio_out_tokens bigint, image_out_tokens bigint, video_out_tokens bigint, citation_tokens bigint,
    usd numeric(28,12), memo_usd numeric(28,12), saved_usd numeric(28,12), reported_usd numeric(28,12),
    reported_own_usd numeric(28,12), text_in_usd numeric(28,12), text_out_usd numeric(28,12),
    cache_read_usd numeric(28,12), cache_write_usd numeric(28,12), audio_in_usd numeric(28,12),
    image_in_usd numeric(28,12), video_in_usd numeric(28,12), cache_read_audio_usd numeric(28,12),
    cache_read_image_usd numeric(28,12), cache_read_video_usd numeric(28,12), tool_in_usd numeric(28,12),
    reasoning_usd numeric(28,12), audio_out_usd numeric(28,12), image_out_usd numeric(28,12),
    video_out_usd numeric(28,12), citation_usd numeric(28,12), units_usd numeric(28,12), first_time timestamptz,
    last_time timestamptz
);

-- Totals of a session by shape. A root session adds what its descendants used, kept apart from its own.
CREATE TABLE session_usage (
    tenant_id integer NOT NULL,
    session_id bigint NOT NULL,
    descendants boolean NOT NULL,
    shape_id bigint NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    calls bigint NOT NULL, attempts bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    estimated bigint NOT NULL, response_cache_hits bigint NOT NULL, input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL, cache_read_tokens bigint, cache_write_tokens bigint, audio_in_tokens bigint,
    image_in_tokens bigint, video_in_tokens bigint, cache_read_audio_tokens bigint, cache_read_image_tokens bigint,
    cache_read_video_tokens bigint, tool_in_tokens bigint, reasoning_tokens bigint, audio_out_tokens bigint,
    image_out_tokens bigint, video_out_tokens bigint, citation_tokens bigint, usd numeric(28,12) NOT NULL,
    memo_usd numeric(28,12) NOT NULL, saved_usd numeric(28,12), reported_usd numeric(28,12),
    reported_own_usd numeric(28,12), text_in_usd numeric(28,12), text_out_usd numeric(28,12),
    cache_read_usd numeric(28,12), cache_write_usd numeric(28,12), audio_in_usd numeric(28,12),
    image_in_usd numeric(28,12), video_in_usd numeric(28,12), cache_read_audio_usd numeric(28,12),
    cache_read_image_usd numeric(28,12), cache_read_video_usd numeric(28,12), tool_in_usd numeric(28,12),
    reasoning_usd numeric(28,12), audio_out_usd numeric(28,12), image_out_usd numeric(28,12),
    video_out_usd numeric(28,12), citation_usd numeric(28,12), units_usd numeric(28,12),
    first_time timestamptz NOT NULL, last_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, session_id, descendants, shape_id)
) WITH (fillfactor = 80);

-- Usage by start time and shape. Grain 1: 15 minutes, fine enough for a day in every time zone; grain 2: UTC days.
CREATE TABLE usage_rollup (
    tenant_id integer NOT NULL,
    grain smallint NOT NULL,
    bucket timestamptz NOT NULL,
    shape_id bigint NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    calls bigint NOT NULL, attempts bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    estimated bigint NOT NULL, response_cache_hits bigint NOT NULL, input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL, cache_read_tokens bigint, cache_write_tokens bigint, audio_in_tokens bigint,
    image_in_tokens bigint, video_in_tokens bigint, cache_read_audio_tokens bigint, cache_read_image_tokens bigint,
    cache_read_video_tokens bigint, tool_in_tokens bigint, reasoning_tokens bigint, audio_out_tokens bigint,
    image_out_tokens bigint, video_out_tokens bigint, citation_tokens bigint, usd numeric(28,12) NOT NULL,
    memo_usd numeric(28,12) NOT NULL, saved_usd numeric(28,12), reported_usd numeric(28,12),
    reported_own_usd numeric(28,12), text_in_usd numeric(28,12), text_out_usd numeric(28,12),
    cache_read_usd numeric(28,12), cache_write_usd numeric(28,12), audio_in_usd numeric(28,12),
    image_in_usd numeric(28,12), video_in_usd numeric(28,12), cache_read_audio_usd numeric(28,12),
    cache_read_image_usd numeric(28,12), cache_read_video_usd numeric(28,12), tool_in_usd numeric(28,12),
    reasoning_usd numeric(28,12), audio_out_usd numeric(28,12), image_out_usd numeric(28,12),
    video_out_usd numeric(28,12), citation_usd numeric(28,12), units_usd numeric(28,12),
    first_time timestamptz NOT NULL, last_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, grain, bucket, shape_id)
) WITH (fillfactor = 80);

-- The same by user and shape.
CREATE TABLE user_rollup (
    tenant_id integer NOT NULL,
    grain smallint NOT NULL,
    user_id bigint NOT NULL,
    bucket timestamptz NOT NULL,
    shape_id bigint NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    calls bigint NOT NULL, attempts bigint NOT NULL, errors bigint NOT NULL, unpriced bigint NOT NULL,
    estimated bigint NOT NULL, response_cache_hits bigint NOT NULL, input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL, cache_read_tokens bigint, cache_write_tokens bigint, audio_in_tokens bigint,
    image_in_tokens bigint, video_in_tokens bigint, cache_read_audio_tokens bigint, cache_read_image_tokens bigint,
    cache_read_video_tokens bigint, tool_in_tokens bigint, reasoning_tokens bigint, audio_out_tokens bigint,
    image_out_tokens bigint, video_out_tokens bigint, citation_tokens bigint, usd numeric(28,12) NOT NULL,
    memo_usd numeric(28,12) NOT NULL, saved_usd numeric(28,12), reported_usd numeric(28,12),
    reported_own_usd numeric(28,12), text_in_usd numeric(28,12), text_out_usd numeric(28,12),
    cache_read_usd numeric(28,12), cache_write_usd numeric(28,12), audio_in_usd numeric(28,12),
    image_in_usd numeric(28,12), video_in_usd numeric(28,12), cache_read_audio_usd numeric(28,12),
    cache_read_image_usd numeric(28,12), cache_read_video_usd numeric(28,12), tool_in_usd numeric(28,12),
    reasoning_usd numeric(28,12), audio_out_usd numeric(28,12), image_out_usd numeric(28,12),
    video_out_usd numeric(28,12), citation_usd numeric(28,12), units_usd numeric(28,12),
    first_time timestamptz NOT NULL, last_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, grain, bucket, user_id, shape_id)
) WITH (fillfactor = 80);
CREATE INDEX user_rollup_by_user ON user_rollup (tenant_id, user_id, grain, bucket);

CREATE TABLE budget (
    tenant_id integer NOT NULL,
    budget_number bigint GENERATED ALWAYS AS IDENTITY,
    budget_id text COLLATE "C" NOT NULL,
    definition jsonb NOT NULL,
    -- Spend of earlier times is not counted.
    counted_from timestamptz NOT NULL,
    request_id text NOT NULL DEFAULT '',
    etag text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    delete_time timestamptz,
    last_match_time timestamptz,
    PRIMARY KEY (tenant_id, budget_number),
    UNIQUE (tenant_id, budget_id)
);

-- One counter of a budget in one window.
CREATE TABLE budget_window (
    tenant_id integer NOT NULL,
    budget_number bigint NOT NULL,
    scope uuid NOT NULL,
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    per_values jsonb NOT NULL,
    spent numeric(28,12) NOT NULL DEFAULT 0,
    held numeric(28,12) NOT NULL DEFAULT 0,
    presumed numeric(28,12) NOT NULL DEFAULT 0,
    overrun numeric(28,12) NOT NULL DEFAULT 0,
    highest_limit numeric(28,12) NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1,
    overrun_causes jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, budget_number, scope, window_start)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);

CREATE TABLE reservation (
    tenant_id integer NOT NULL,
    reservation_id uuid NOT NULL,
    state smallint NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    end_time timestamptz,
    sequence bigint NOT NULL DEFAULT 0,
    fingerprint uuid,
    -- Dimensions, models, estimate and decision of the check; NULL on a tombstone.
    context jsonb,
    -- The holds, by budget and counter.
    parts jsonb NOT NULL DEFAULT '[]',
    -- Last running usage, ids of the events so far, and why it ended.
    progress jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, reservation_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);
-- Finds what has run out: open ones only.
CREATE INDEX reservation_expiring ON reservation (tenant_id, expire_time) WHERE state = 1;

-- Pages of a summary share one reading: the rest of its rows waits here for the next page.
CREATE TABLE summary_page (
    tenant_id integer NOT NULL,
    page_id uuid NOT NULL,
    request_digest uuid NOT NULL,
    expire_time timestamptz NOT NULL,
    response bytea NOT NULL,
    PRIMARY KEY (tenant_id, page_id)
);
