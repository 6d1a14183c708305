-- Corrections: the first row of an event stands for ever, and what corrects it is appended beside it.

-- The legs of corrections. Sign -1: the facts as they stood before; sign +1: the facts as they should be. Both carry
-- every column of the event, so that one leg can be summed, charged and shown like an event.
-- Not partitioned: legs are few, and live totals ask for them at every reading. Retention that drops a partition of
-- events deletes the legs of the same range of ids, which the key begins with, and seals both balances.
CREATE TABLE usage_adjustment (
    LIKE usage_event,
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
-- As on usage_event.
CREATE INDEX usage_adjustment_by_time ON usage_adjustment
    (tenant_id, date_bin('1 hour', start_time, '2000-01-01 00:00:00+00'));
CREATE INDEX usage_adjustment_by_session ON usage_adjustment
    (tenant_id, session_id, date_bin('1 hour', start_time, '2000-01-01 00:00:00+00')) WHERE session_id IS NOT NULL;
CREATE INDEX usage_adjustment_by_charge ON usage_adjustment USING brin (charge_time);

-- Requests that corrected something, with their first answers: the same one again gets the same answer.
CREATE TABLE adjustment_request (
    tenant_id integer NOT NULL,
    request_id uuid NOT NULL,
    -- Which step of a request that works in steps; empty for the first, and for requests without steps.
    step text COLLATE "C" NOT NULL,
    -- Of everything that the request says.
    digest uuid NOT NULL,
    answer jsonb NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, request_id, step)
);

-- Totals in two rows: without adjustment what events were first charged, with it the signed sum of legs. Charged = the
-- first, current = both. The times of an adjustment row are those of all its legs, reversed ones included: a difference
-- cannot take a time back.
ALTER TABLE session_usage ADD COLUMN adjustment boolean NOT NULL DEFAULT false;
ALTER TABLE session_usage DROP CONSTRAINT session_usage_pkey;
ALTER TABLE session_usage ADD PRIMARY KEY (tenant_id, session_id, descendants, shape_id, adjustment);
ALTER TABLE usage_rollup ADD COLUMN adjustment boolean NOT NULL DEFAULT false;
ALTER TABLE usage_rollup DROP CONSTRAINT usage_rollup_pkey;
ALTER TABLE usage_rollup ADD PRIMARY KEY (tenant_id, grain, bucket, shape_id, adjustment);
ALTER TABLE user_rollup ADD COLUMN adjustment boolean NOT NULL DEFAULT false;
ALTER TABLE user_rollup DROP CONSTRAINT user_rollup_pkey;
ALTER TABLE user_rollup ADD PRIMARY KEY (tenant_id, grain, bucket, user_id, shape_id, adjustment);
