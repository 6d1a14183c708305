-- A small ledger in which everything agrees. Both sides are written down by hand: neither is computed from the other.
CREATE TABLE usage_event_rest PARTITION OF usage_event DEFAULT;

-- Dimensions by their codes: 6 user, 8 session, 10 root session.
INSERT INTO symbol (tenant_id, symbol_id, dimension, value) OVERRIDING SYSTEM VALUE VALUES
    (1, 11, 8, 'root'), (1, 12, 8, 'leaf'), (1, 13, 10, 'root'), (1, 21, 6, 'ada');
INSERT INTO shape (tenant_id, shape_id, digest, content) OVERRIDING SYSTEM VALUE VALUES
    (1, 1, '00000000-0000-0000-0000-000000000001', '{
        "values": {"project_id": "atlas", "provider_name": "openai", "model": "gpt-4o"},
        "request_model": {"provider_name": "openai", "model": "gpt-4o"}
    }');

INSERT INTO usage_event (
    tenant_id, event_id, start_time, record_time, shape_id, user_id, session_id, root_session_id, fingerprint, facts, notices,
    input_tokens, output_tokens, cache_read_tokens, usd, saved_usd, reported_cost, reservation_id, labels
)
SELECT
    1, event_id, start_time::timestamptz, record_time::timestamptz, 1, user_id, session_id, root_session_id, gen_random_uuid(),
    usage_facts(outcome, price_state, quality, accounting, origin, response_cache_hit, false, 1, attempt), 0,
    input_tokens, output_tokens, cache_read_tokens, usd, saved_usd, reported_cost, reservation_id, labels
FROM (VALUES
    -- Priced, settled a reservation.
    ('00000000-0000-0000-0000-0000000000e1'::uuid, '2026-01-05 10:03Z', '2026-01-05 10:04Z', 21, 11,
     NULL::integer, 1, 1, 1, 1, 1, 1, false, 100, 50, 40, 0.5, NULL::numeric, 0.4,
     '00000000-0000-0000-0000-0000000000f3'::uuid, '{"team": "blue"}'::jsonb),
    -- A second attempt, failed, unpriced, of a descendant.
    ('00000000-0000-0000-0000-0000000000e2', '2026-01-05 10:20Z', '2026-01-05 10:21Z', 21, 12,
     13, 2, 4, 4, NULL, 1, 1, false, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL),
    -- Memo, a day later, of no user: in no budget.
    ('00000000-0000-0000-0000-0000000000e3', '2026-01-06 00:00Z', '2026-01-06 00:01Z', NULL, 11,
     NULL, 1, 1, 1, 1, 2, 3, false, 7, 8, NULL, 2, NULL, NULL, NULL, NULL),
    -- Answered by a response cache, from estimated counts.
    ('00000000-0000-0000-0000-0000000000e4', '2026-01-05 10:04Z', '2026-01-05 10:05Z', 21, 11,
     NULL, 1, 1, 1, 3, 1, 1, true, 10, 10, 5, 0, 0.25, NULL, NULL, NULL),
    -- Charged before the budgets began to count.
    ('00000000-0000-0000-0000-0000000000e5', '2025-12-31 23:59Z', '2026-01-05 10:05Z', 21, NULL,
     NULL, 1, 1, 1, 2, 1, 1, false, 1, 1, NULL, 0.125, NULL, NULL, NULL, NULL)
) AS event (
    event_id, start_time, record_time, user_id, session_id, root_session_id, attempt, outcome, price_state, quality,
    accounting, origin, response_cache_hit, input_tokens, output_tokens, cache_read_tokens, usd, saved_usd, reported_cost,
    reservation_id, labels
);

-- The descendant's attempt was cancelled; the one before the budgets began cost twice as much.
INSERT INTO usage_adjustment
SELECT (jsonb_populate_record(NULL::usage_adjustment, to_jsonb(event) || jsonb_build_object(
    'revision', 2, 'sign', -1, 'kind', 1, 'request_id', gen_random_uuid(), 'reason', 'cancelled',
    'adjust_time', '2026-01-07Z'
))).*
FROM usage_event AS event WHERE event.event_id = '00000000-0000-0000-0000-0000000000e2';
INSERT INTO usage_adjustment
SELECT (jsonb_populate_record(NULL::usage_adjustment, to_jsonb(event) || jsonb_build_object(
    'revision', 2, 'sign', sign.sign, 'kind', 4, 'request_id', gen_random_uuid(), 'reason', 'repriced',
    'adjust_time', '2026-01-07Z'
))).*
FROM usage_event AS event, (VALUES (-1), (1)) AS sign (sign)
WHERE event.event_id = '00000000-0000-0000-0000-0000000000e5';
UPDATE usage_adjustment SET usd = 0.25 WHERE usd = 0.125 AND sign = 1;

INSERT INTO session_usage (
    tenant_id, session_id, descendants, shape_id, calls, attempts, errors, unpriced, estimated, response_cache_hits,
    input_tokens, output_tokens, cache_read_tokens, usd, memo_usd, saved_usd, reported_usd, reported_own_usd,
    text_in_usd, cache_read_usd, first_time, last_time
) VALUES
    (1, 11, false, 1, 3, 3, 0, 0, 1, 1, 107, 58, 40, 0.5, 2, 0.25, 0.4, 0.5, 0.3, 0.2,
     '2026-01-05 10:03Z', '2026-01-06 00:00Z'),
    (1, 12, false, 1, 0, 1, 1, 1, 0, 0, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL,
     '2026-01-05 10:20Z', '2026-01-05 10:20Z'),
    (1, 11, true, 1, 0, 1, 1, 1, 0, 0, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL,
     '2026-01-05 10:20Z', '2026-01-05 10:20Z');

INSERT INTO usage_rollup (
    tenant_id, grain, bucket, shape_id, calls, attempts, errors, unpriced, estimated, response_cache_hits,
    input_tokens, output_tokens, cache_read_tokens, usd, memo_usd, saved_usd, reported_usd, reported_own_usd,
    text_in_usd, cache_read_usd, first_time, last_time
) VALUES
    (1, 1, '2025-12-31 23:45Z', 1, 1, 1, 0, 0, 0, 0, 1, 1, NULL, 0.125, 0, NULL, NULL, NULL, 0.125, NULL,
     '2025-12-31 23:59Z', '2025-12-31 23:59Z'),
    (1, 1, '2026-01-05 10:00Z', 1, 2, 2, 0, 0, 1, 1, 100, 50, 40, 0.5, 0, 0.25, 0.4, 0.5, 0.3, 0.2,
     '2026-01-05 10:03Z', '2026-01-05 10:04Z'),
    (1, 1, '2026-01-05 10:15Z', 1, 0, 1, 1, 1, 0, 0, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL,
     '2026-01-05 10:20Z', '2026-01-05 10:20Z'),
    (1, 1, '2026-01-06 00:00Z', 1, 1, 1, 0, 0, 0, 0, 7, 8, NULL, 0, 2, NULL, NULL, NULL, NULL, NULL,
     '2026-01-06 00:00Z', '2026-01-06 00:00Z'),
    (1, 2, '2025-12-31 00:00Z', 1, 1, 1, 0, 0, 0, 0, 1, 1, NULL, 0.125, 0, NULL, NULL, NULL, 0.125, NULL,
     '2025-12-31 23:59Z', '2025-12-31 23:59Z'),
    (1, 2, '2026-01-05 00:00Z', 1, 2, 3, 1, 1, 1, 1, 100, 50, 40, 0.5, 0, 0.25, 0.4, 0.5, 0.3, 0.2,
     '2026-01-05 10:03Z', '2026-01-05 10:20Z'),
    (1, 2, '2026-01-06 00:00Z', 1, 1, 1, 0, 0, 0, 0, 7, 8, NULL, 0, 2, NULL, NULL, NULL, NULL, NULL,
     '2026-01-06 00:00Z', '2026-01-06 00:00Z');

INSERT INTO user_rollup (
    tenant_id, grain, bucket, user_id, shape_id, calls, attempts, errors, unpriced, estimated, response_cache_hits,
    input_tokens, output_tokens, cache_read_tokens, usd, memo_usd, saved_usd, reported_usd, reported_own_usd,
    text_in_usd, cache_read_usd, first_time, last_time
) VALUES
    (1, 1, '2025-12-31 23:45Z', 21, 1, 1, 1, 0, 0, 0, 0, 1, 1, NULL, 0.125, 0, NULL, NULL, NULL, 0.125, NULL,
     '2025-12-31 23:59Z', '2025-12-31 23:59Z'),
    (1, 1, '2026-01-05 10:00Z', 21, 1, 2, 2, 0, 0, 1, 1, 100, 50, 40, 0.5, 0, 0.25, 0.4, 0.5, 0.3, 0.2,
     '2026-01-05 10:03Z', '2026-01-05 10:04Z'),
    (1, 1, '2026-01-05 10:15Z', 21, 1, 0, 1, 1, 1, 0, 0, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL,
     '2026-01-05 10:20Z', '2026-01-05 10:20Z'),
    (1, 2, '2025-12-31 00:00Z', 21, 1, 1, 1, 0, 0, 0, 0, 1, 1, NULL, 0.125, 0, NULL, NULL, NULL, 0.125, NULL,
     '2025-12-31 23:59Z', '2025-12-31 23:59Z'),
    (1, 2, '2026-01-05 00:00Z', 21, 1, 2, 3, 1, 1, 1, 1, 100, 50, 40, 0.5, 0, 0.25, 0.4, 0.5, 0.3, 0.2,
     '2026-01-05 10:03Z', '2026-01-05 10:20Z');

-- Budgets 1 (dollars of a user in a day, hard), 2 (all tokens of a lifetime) and 3 (calls with a label) come from the
-- domain's definitions; their counters' scopes are digests, filled in with them.
INSERT INTO budget_window (
    tenant_id, budget_number, scope, window_start, window_end, per_values, spent, held, presumed, highest_limit
)
SELECT 1, budget_number, scope, window_start, window_end, per_values, spent, held, presumed, highest_limit
FROM counter_to_add;

INSERT INTO reservation (tenant_id, reservation_id, state, create_time, expire_time, end_time, parts)
SELECT
    1, uuid 'f0000000-0000-0000-0000-000000000000', 1, timestamptz '2026-01-05 10:30Z',
    timestamptz '2026-01-05 10:35Z', NULL::timestamptz,
    jsonb_build_array(jsonb_build_object(
        'budget', 1, 'scope', scope, 'window_start', '2026-01-05T00:00:00Z', 'held', '1.5', 'charged', '0', 'presumed', '0'
    ))
FROM counter_to_add WHERE budget_number = 1
UNION ALL
SELECT
    1, 'f0000000-0000-0000-0000-000000000001', 4, '2026-01-05 09:00Z', '2026-01-05 09:05Z', '2026-01-05 09:06Z',
    jsonb_build_array(jsonb_build_object(
        'budget', 1, 'scope', scope, 'window_start', '2026-01-05T00:00:00Z', 'held', '0', 'charged', '0', 'presumed', '0.25'
    ))
FROM counter_to_add WHERE budget_number = 1
UNION ALL
SELECT
    1, '00000000-0000-0000-0000-0000000000f3', 2, '2026-01-05 10:03Z', '2026-01-05 10:08Z', '2026-01-05 10:04Z',
    jsonb_build_array(jsonb_build_object(
        'budget', 1, 'scope', scope, 'window_start', '2026-01-05T00:00:00Z', 'held', '0', 'charged', '0.5', 'presumed', '0'
    ))
FROM counter_to_add WHERE budget_number = 1;

INSERT INTO session_usage (
    tenant_id, session_id, descendants, shape_id, adjustment, calls, attempts, errors, unpriced, estimated,
    response_cache_hits, input_tokens, output_tokens, usd, memo_usd, first_time, last_time
) VALUES
    (1, 12, false, 1, true, 0, -1, -1, -1, 0, 0, 0, 0, 0, 0, '2026-01-05 10:20Z', '2026-01-05 10:20Z'),
    (1, 11, true, 1, true, 0, -1, -1, -1, 0, 0, 0, 0, 0, 0, '2026-01-05 10:20Z', '2026-01-05 10:20Z');

INSERT INTO usage_rollup (
    tenant_id, grain, bucket, shape_id, adjustment, calls, attempts, errors, unpriced, estimated, response_cache_hits,
    input_tokens, output_tokens, usd, memo_usd, text_in_usd, first_time, last_time
) VALUES
    (1, 1, '2025-12-31 23:45Z', 1, true, 0, 0, 0, 0, 0, 0, 0, 0, 0.125, 0, 0.125,
     '2025-12-31 23:59Z', '2025-12-31 23:59Z'),
    (1, 2, '2025-12-31 00:00Z', 1, true, 0, 0, 0, 0, 0, 0, 0, 0, 0.125, 0, 0.125,
     '2025-12-31 23:59Z', '2025-12-31 23:59Z'),
    (1, 1, '2026-01-05 10:15Z', 1, true, 0, -1, -1, -1, 0, 0, 0, 0, 0, 0, NULL,
     '2026-01-05 10:20Z', '2026-01-05 10:20Z'),
    (1, 2, '2026-01-05 00:00Z', 1, true, 0, -1, -1, -1, 0, 0, 0, 0, 0, 0, NULL,
     '2026-01-05 10:20Z', '2026-01-05 10:20Z');

INSERT INTO user_rollup (
    tenant_id, grain, bucket, user_id, shape_id, adjustment, calls, attempts, errors, unpriced, estimated,
    response_cache_hits, input_tokens, output_tokens, usd, memo_usd, text_in_usd, first_time, last_time
) VALUES
    (1, 1, '2025-12-31 23:45Z', 21, 1, true, 0, 0, 0, 0, 0, 0, 0, 0, 0.125, 0, 0.125,
     '2025-12-31 23:59Z', '2025-12-31 23:59Z'),
    (1, 2, '2025-12-31 00:00Z', 21, 1, true, 0, 0, 0, 0, 0, 0, 0, 0, 0.125, 0, 0.125,
     '2025-12-31 23:59Z', '2025-12-31 23:59Z'),
    (1, 1, '2026-01-05 10:15Z', 21, 1, true, 0, -1, -1, -1, 0, 0, 0, 0, 0, 0, NULL,
     '2026-01-05 10:20Z', '2026-01-05 10:20Z'),
    (1, 2, '2026-01-05 00:00Z', 21, 1, true, 0, -1, -1, -1, 0, 0, 0, 0, 0, 0, NULL,
     '2026-01-05 10:20Z', '2026-01-05 10:20Z');
