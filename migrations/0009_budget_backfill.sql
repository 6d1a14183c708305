-- New budgets over large ledgers, as long as they are not in force: how far their earlier charges were counted.
CREATE TABLE budget_backfill (
    tenant_id integer NOT NULL,
    budget_number bigint NOT NULL,
    -- What was recorded from here on is counted by the batches themselves.
    recorded_before timestamptz NOT NULL,
    -- Charges of earlier times are counted.
    counted_to timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, budget_number)
);
-- What was counted so far, by counter and window.
CREATE TABLE budget_backfill_sum (
    tenant_id integer NOT NULL,
    budget_number bigint NOT NULL,
    scope uuid NOT NULL,
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    per_values jsonb NOT NULL,
    amount numeric(28,12) NOT NULL,
    PRIMARY KEY (tenant_id, budget_number, scope, window_start)
);
