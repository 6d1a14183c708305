CREATE TABLE usage_event_2026_01 PARTITION OF usage_event
    FOR VALUES FROM ('019b74c8-0000-0000-0000-000000000000') TO ('019c146f-8000-0000-0000-000000000000');
CREATE TABLE usage_event_rest PARTITION OF usage_event DEFAULT;

-- As few facts as there can be.
INSERT INTO usage_event (
    tenant_id, event_id, start_time, charge_time, record_time, shape_id, fingerprint, fingerprint_version, attempt, outcome,
    price_state, accounting, origin, notices, response_cache_hit, keep_open, usd
) VALUES (
    1, '00000000-0000-0000-0000-0000000000e1', '2026-01-05 10:03Z', '2026-01-05 10:03Z', '2026-01-05 10:04Z', 1,
    'ffffffff-ffff-ffff-ffff-ffffffffffff', 1, 1, 1, 4, 1, 1, 0, false, false, 0
);

-- All facts, each with a value of its own.
INSERT INTO usage_event
SELECT (jsonb_populate_record(NULL::usage_event, jsonb_object_agg(name, value))).*
FROM (
    SELECT attname AS name, CASE format_type(atttypid, NULL)
        WHEN 'bigint' THEN to_jsonb(1000000 + attnum)
        WHEN 'integer' THEN to_jsonb(1000 + attnum)
        WHEN 'numeric' THEN to_jsonb(0.000000000001 * attnum)
        WHEN 'text' THEN to_jsonb('text ' || attnum)
        WHEN 'jsonb' THEN jsonb_build_array(attnum)
        WHEN 'uuid' THEN to_jsonb(md5(attnum::text)::uuid)
        WHEN 'boolean' THEN to_jsonb(true)
        WHEN 'timestamp with time zone' THEN to_jsonb(timestamptz '2026-01-05 10:00:00.123456Z' + attnum * interval '7.000001 seconds')
        WHEN 'bigint[]' THEN jsonb_build_array(300, 9000000000)
        ELSE '{
            "fingerprint_version": 15, "attempt": 1023, "outcome": 5, "price_state": 3, "quality": 4, "accounting": 2,
            "origin": 4, "notices": 63
        }'::jsonb -> attname
    END AS value
    FROM pg_attribute
    WHERE attrelid = 'usage_event'::regclass AND attnum > 0 AND NOT attisdropped
) AS fact;
UPDATE usage_event SET
    tenant_id = 1, event_id = '019b8000-0000-7000-8000-000000000000',
    trace_id = 'fd9070aafa34e190ec8dde5998c8e02b', span_id = 'f278a63532fcbb87'
WHERE call_id IS NOT NULL;

-- Nothing that fits: numbers of eight bytes, an end years later, a late attempt; ids of traces that only look like numbers.
INSERT INTO usage_event
SELECT (jsonb_populate_record(NULL::usage_event, to_jsonb(event) || (
    SELECT jsonb_object_agg(attname, 9223372036854775807 - attnum)
    FROM pg_attribute
    WHERE attrelid = 'usage_event'::regclass AND atttypid = 'bigint'::regtype AND attnum > 0
) || '{
    "event_id": "019b8000-0000-7000-8000-000000000001", "attempt": 32767, "end_time": "9999-12-31T23:59:59.999999Z",
    "trace_id": "FD9070AAFA34E190EC8DDE5998C8E02B", "span_id": "f278a635-2fcbb87"
}')).*
FROM usage_event AS event WHERE call_id IS NOT NULL;

-- An end before the start, a first token after the limit of four bytes, negative numbers, an empty text.
INSERT INTO usage_event
SELECT (jsonb_populate_record(NULL::usage_event, to_jsonb(event) || '{
    "event_id": "019b8000-0000-7000-8000-000000000002", "end_time": "2026-01-05T09:58:00Z",
    "time_to_first_token_us": -2147483648, "input_tokens": 2147483647, "trace_id": "", "span_id": "0000000000000001"
}')).*
FROM usage_event AS event WHERE attempt = 1023;

INSERT INTO usage_adjustment
SELECT (jsonb_populate_record(NULL::usage_adjustment, to_jsonb(event) || jsonb_build_object(
    'revision', 2, 'sign', sign.sign, 'kind', 4, 'request_id', md5('request')::uuid, 'reason', 'repriced',
    'adjust_time', '2026-01-07Z'
))).*
FROM usage_event AS event, (VALUES (-1), (1)) AS sign (sign);

-- Totals with a value of its own in every column, and with as few as there can be.
INSERT INTO session_usage
SELECT (jsonb_populate_record(NULL::session_usage, jsonb_object_agg(attname, CASE format_type(atttypid, NULL)
    WHEN 'boolean' THEN to_jsonb(row_number % 2 = 0)
    WHEN 'timestamp with time zone' THEN to_jsonb(timestamptz '2026-01-05 10:00Z')
    WHEN 'numeric' THEN to_jsonb(0.000000000001 * attnum)
    ELSE to_jsonb(attnum)
END) FILTER (WHERE row_number = 1 OR attnotnull))).*
FROM pg_attribute, generate_series(1, 2) AS row_number
WHERE attrelid = 'session_usage'::regclass AND attnum > 0 AND NOT attisdropped
GROUP BY row_number;
INSERT INTO usage_rollup
SELECT (jsonb_populate_record(NULL::usage_rollup, jsonb_object_agg(attname, CASE format_type(atttypid, NULL)
    WHEN 'boolean' THEN to_jsonb(row_number % 2 = 0)
    WHEN 'timestamp with time zone' THEN to_jsonb(timestamptz '2026-01-05 10:00Z')
    WHEN 'numeric' THEN to_jsonb(0.000000000001 * attnum)
    ELSE to_jsonb(attnum)
END) FILTER (WHERE row_number = 1 OR attnotnull))).*
FROM pg_attribute, generate_series(1, 2) AS row_number
WHERE attrelid = 'usage_rollup'::regclass AND attnum > 0 AND NOT attisdropped
GROUP BY row_number;
INSERT INTO user_rollup
SELECT (jsonb_populate_record(NULL::user_rollup, jsonb_object_agg(attname, CASE format_type(atttypid, NULL)
    WHEN 'boolean' THEN to_jsonb(row_number % 2 = 0)
    WHEN 'timestamp with time zone' THEN to_jsonb(timestamptz '2026-01-05 10:00Z')
    WHEN 'numeric' THEN to_jsonb(0.000000000001 * attnum)
    ELSE to_jsonb(attnum)
END) FILTER (WHERE row_number = 1 OR attnotnull))).*
FROM pg_attribute, generate_series(1, 2) AS row_number
WHERE attrelid = 'user_rollup'::regclass AND attnum > 0 AND NOT attisdropped
GROUP BY row_number;
