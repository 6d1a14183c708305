-- Alerts: written in the transaction that causes them, and the outbox of the webhook.

-- Numbers the tenant's alerts in the order of their commits: whoever raises one holds this row until the end, so that a reader
-- who has seen a position has seen everything before it.
CREATE TABLE alert_position (
    tenant_id integer PRIMARY KEY,
    last bigint NOT NULL
);

CREATE TABLE alert (
    tenant_id integer NOT NULL,
    alert_id uuid NOT NULL,
    position bigint NOT NULL,
    -- Digest of what may be told once: the rule or cause with its counter and window, or the model with its day.
    occasion uuid NOT NULL,
    kind smallint NOT NULL,
    severity smallint NOT NULL,
    create_time timestamptz NOT NULL,
    -- Which counter in which window; NULL where it is not about a budget.
    budget_number bigint,
    scope uuid,
    window_start timestamptz,
    event_id uuid,
    reservation_id uuid,
    -- What it is about, as it was then: the rule, the cause, the counter with its limit and sums, the model.
    subject jsonb NOT NULL,
    acknowledge_time timestamptz,
    acknowledged_by text NOT NULL DEFAULT '',
    note text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, alert_id),
    UNIQUE (tenant_id, position),
    UNIQUE (tenant_id, occasion)
);
CREATE INDEX alert_unacknowledged ON alert (tenant_id, position) WHERE acknowledge_time IS NULL;
CREATE INDEX alert_by_budget ON alert (tenant_id, budget_number, position) WHERE budget_number IS NOT NULL;
-- Bounds how many alerts about models a day may see.
CREATE INDEX alert_about_models ON alert (tenant_id, kind, create_time) WHERE budget_number IS NULL;

-- What the webhook has to be told, at least once. A row stays once it is delivered or given up, to show what became of it.
CREATE TABLE alert_delivery (
    tenant_id integer NOT NULL,
    alert_id uuid NOT NULL,
    -- When it is to be tried next; NULL = delivered or given up.
    next_attempt_time timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT '',
    deliver_time timestamptz,
    PRIMARY KEY (tenant_id, alert_id)
) WITH (fillfactor = 70);
CREATE INDEX alert_delivery_due ON alert_delivery (tenant_id, next_attempt_time) WHERE next_attempt_time IS NOT NULL;
