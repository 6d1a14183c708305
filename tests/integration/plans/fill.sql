-- A ledger of four months, large enough that reading a whole table is dearer than any index that fits: what the planner
-- chooses here, it chooses for more rows, too. One tenant has everything, as in most installations.

-- The id that is minted then.
CREATE FUNCTION id_at(at timestamptz, number bigint DEFAULT 0) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008' || lpad(to_hex(number), 15, '0'))::uuid
$$;

-- A digest by number: of shapes, price sheets, counters, requests.
CREATE FUNCTION digest_of(number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(number::text)::uuid $$;

-- When the event with this number started: one in 90 seconds.
CREATE FUNCTION start_of(number bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT '2020-01-01 00:00:00+00'::timestamptz + number * interval '90 seconds'
$$;

-- Numbers from 1 on, for parameters, which may not be queries.
CREATE FUNCTION numbers_to(last bigint) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(number) FROM generate_series(1, last) AS number
$$;

-- Sessions are the symbols from 1 on, users those from 6001 on, customers those from 9001 on.
INSERT INTO symbol (tenant_id, dimension, value)
SELECT 1, 8, 'session-' || number FROM generate_series(1, 6000) AS number
UNION ALL
SELECT 1, 6, 'user-' || number FROM generate_series(1, 3000) AS number
UNION ALL
SELECT 1, 4, 'customer-' || number FROM generate_series(1, 1000) AS number;

INSERT INTO shape (tenant_id, digest, content)
SELECT 1, digest_of(number), jsonb_build_object('agent_id', 'agent-' || number, 'request', jsonb_build_object(
    'provider_name', 'openai', 'model', 'gpt-4o', 'provider_tier', '', 'region', ''
))
FROM generate_series(1, 3000) AS number;

INSERT INTO price_sheet (tenant_id, digest, content)
SELECT 1, digest_of(number), jsonb_build_object('rates', repeat('rate ', 60))
FROM generate_series(1, 2000) AS number;

-- Twenty events a session, one after the other.
INSERT INTO usage_event (
    tenant_id, event_id, start_time, other_charge_time, record_time, shape_id, price_sheet_id, user_id, customer_id,
    session_id, root_session_id, input_tokens, output_tokens, fingerprint, reservation_id, facts, notices, usd
)
SELECT
    1, id_at(start_of(number), number), start_of(number), start_of(number) + interval '2 seconds',
    start_of(number) + interval '3 seconds', 1 + number % 300, 1 + number % 200, 6001 + number * 7919 % 3000,
    9001 + number % 1000, 1 + number / 20, 1 + number / 40, 1000, 500, digest_of(number),
    id_at(start_of(number), number), usage_facts(1, 1, 2, 1, 1, false, false, 1, 1), 0, 0.0075
FROM generate_series(0, 115199) AS number;

-- Every twentieth was replaced.
INSERT INTO usage_adjustment (
    tenant_id, event_id, start_time, other_charge_time, record_time, shape_id, price_sheet_id, user_id, customer_id,
    session_id, root_session_id, input_tokens, output_tokens, fingerprint, reservation_id, facts, notices, usd,
    revision, sign, kind, request_id, reason, adjust_time
)
SELECT
    tenant_id, event_id, start_time, other_charge_time, record_time, shape_id, price_sheet_id, user_id, customer_id,
    session_id, root_session_id, input_tokens, output_tokens, fingerprint, reservation_id, facts, notices, usd,
    2, leg.sign, 2, fingerprint, '', record_time + interval '1 day'
FROM usage_event
CROSS JOIN (VALUES (-1), (1)) AS leg (sign)
WHERE session_id % 20 = 0;

INSERT INTO adjustment_request (tenant_id, request_id, step, digest, answer, create_time)
SELECT 1, digest_of(number), '', digest_of(-number), '{}', start_of(number * 20)
FROM generate_series(1, 5000) AS number;

INSERT INTO external_key (tenant_id, source, key, event_id)
SELECT 1, 'gateway', 'call-' || number, id_at(start_of(number), number)
FROM generate_series(1, 20000) AS number;

-- Three shapes a session.
INSERT INTO session_usage (
    tenant_id, session_id, descendants, shape_id, adjustment, calls, attempts, errors, unpriced, estimated,
    response_cache_hits, input_tokens, output_tokens, usd, memo_usd, first_time, last_time
)
SELECT
    1, session, descendants, 1 + (session + shape) % 300, false, 7, 7, 0, 0, 0, 0, 7000, 3500, 0.0525, 0,
    start_of(session * 20), start_of(session * 20 + 19)
FROM
    generate_series(1, 6000) AS session,
    generate_series(1, 3) AS shape,
    (VALUES (false), (true)) AS tree (descendants)
WHERE NOT descendants OR session % 2 = 0;

-- Grain 1: six shapes each quarter hour; grain 2: a hundred each day.
INSERT INTO usage_rollup (
    tenant_id, grain, bucket, shape_id, adjustment, calls, attempts, errors, unpriced, estimated, response_cache_hits,
    input_tokens, output_tokens, usd, memo_usd, first_time, last_time
)
SELECT
    1, grain.code, bucket, 1 + (shape * 7 + extract(epoch FROM bucket)::bigint / 900) % 300, false, 2, 2, 0, 0, 0, 0, 2000,
    1000, 0.015, 0, bucket, bucket
FROM
    (VALUES (1, interval '15 minutes', 6), (2, interval '1 day', 100)) AS grain (code, width, shapes),
    generate_series('2020-01-01'::timestamptz, '2020-04-29'::timestamptz, grain.width) AS bucket,
    generate_series(1, grain.shapes) AS shape;

INSERT INTO user_rollup (
    tenant_id, grain, user_id, bucket, shape_id, adjustment, calls, attempts, errors, unpriced, estimated,
    response_cache_hits, input_tokens, output_tokens, usd, memo_usd, first_time, last_time
)
SELECT
    1, grain.code, 6001 + (place * 7919 + extract(epoch FROM bucket)::bigint / 900) % 3000, bucket,
    1 + place % 300, false, 1, 1, 0, 0, 0, 0, 1000, 500, 0.0075, 0, bucket, bucket
FROM
    (VALUES (1, interval '15 minutes', 8), (2, interval '1 day', 600)) AS grain (code, width, places),
    generate_series('2020-01-01'::timestamptz, '2020-04-29'::timestamptz, grain.width) AS bucket,
    generate_series(1, grain.places) AS place;

INSERT INTO budget (tenant_id, budget_id, definition, counted_from, etag, create_time, update_time)
SELECT
    1, 'budget-' || number, jsonb_build_object('limit', '100', 'rules', repeat('rule ', 40)), start_of(0), number::text,
    start_of(0), start_of(0)
FROM generate_series(1, 1000) AS number;

-- Ten budgets with a counter for each user, in eight windows.
INSERT INTO budget_window (tenant_id, budget_number, scope, window_start, window_end, per_values, spent, highest_limit)
SELECT
    1, budget, digest_of(person), start_of(0) + days * interval '15 days', start_of(0) + (days + 1) * interval '15 days',
    jsonb_build_object('user_id', 'user-' || person), 1, 100
FROM generate_series(1, 10) AS budget, generate_series(1, 1500) AS person, generate_series(0, 7) AS days;

INSERT INTO sealed_counter (tenant_id, budget_number, scope, window_start, window_end, per_values, spent)
SELECT tenant_id, budget_number, scope, window_start, window_end, per_values, spent
FROM budget_window
WHERE window_start = start_of(0);

INSERT INTO budget_period (tenant_id, budget_number, period_start, period_end)
SELECT 1, budget, start_of(0) + days * interval '1 day', start_of(0) + (days + 1) * interval '1 day'
FROM generate_series(1, 300) AS budget, generate_series(0, 119) AS days;

INSERT INTO budget_override (
    tenant_id, budget_number, scope, per_values, limit_amount, etag, create_time, update_time
)
SELECT 1, budget, digest_of(person), jsonb_build_object('user_id', 'user-' || person), 200, '', start_of(0), start_of(0)
FROM generate_series(1, 10) AS budget, generate_series(1, 1000) AS person;

INSERT INTO budget_backfill (tenant_id, budget_number, recorded_before, counted_to)
SELECT 1, number, start_of(100000), start_of(0) FROM generate_series(1, 3) AS number;

INSERT INTO budget_backfill_sum (tenant_id, budget_number, scope, window_start, window_end, per_values, amount)
SELECT 1, budget, digest_of(person), start_of(0), start_of(14400), jsonb_build_object('user_id', 'user-' || person), 1
FROM generate_series(1, 20) AS budget, generate_series(1, 500) AS person;

-- One in three hundred is open still.
INSERT INTO reservation (
    tenant_id, reservation_id, state, create_time, expire_time, end_time, fingerprint, context, parts
)
SELECT
    1, id_at(start_of(number), number), CASE WHEN number % 300 = 0 THEN 1 ELSE 2 END, start_of(number),
    start_of(number) + interval '10 minutes',
    CASE WHEN number % 300 = 0 THEN NULL ELSE start_of(number) + interval '5 seconds' END, digest_of(number),
    jsonb_build_object('dimensions', repeat('value ', 30)),
    jsonb_build_array(jsonb_build_object('budget_number', 1 + number % 10, 'scope', digest_of(1 + number % 1500), 'presumed', 0))
FROM generate_series(0, 59999) AS number;

INSERT INTO alert_position (tenant_id, last) VALUES (1, 20000);

-- One in ten is about a model; one in twenty was not acknowledged.
INSERT INTO alert (
    tenant_id, alert_id, position, occasion, kind, severity, create_time, budget_number, scope, window_start, subject,
    acknowledge_time
)
SELECT
    1, id_at(start_of(number * 5), number), number, digest_of(number), 1 + number % 5, 1, start_of(number * 5),
    CASE WHEN number % 10 > 0 THEN 1 + number % 1000 END, digest_of(1 + number % 1500), start_of(0),
    jsonb_build_object('rule', repeat('rule ', 30)), CASE WHEN number % 20 > 0 THEN start_of(number * 6) END
FROM generate_series(1, 20000) AS number;

-- One in a hundred is yet to be delivered.
INSERT INTO alert_delivery (tenant_id, alert_id, next_attempt_time, attempts, deliver_time)
SELECT
    tenant_id, alert_id, CASE WHEN position % 100 = 0 THEN create_time END, 1,
    CASE WHEN position % 100 > 0 THEN create_time END
FROM alert;

INSERT INTO summary_page (tenant_id, page_id, request_digest, expire_time, response)
SELECT 1, digest_of(number), digest_of(-number), now() + interval '1 minute', '\x00'
FROM generate_series(1, 2000) AS number;
