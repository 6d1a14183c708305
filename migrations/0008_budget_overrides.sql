-- Other limits for single counters of a budget.
CREATE TABLE budget_override (
    tenant_id integer NOT NULL,
    budget_number bigint NOT NULL,
    -- Digest of the counter's `per` values.
    scope uuid NOT NULL,
    per_values jsonb NOT NULL,
    limit_amount numeric(28,12) NOT NULL,
    -- In force from and until; NULL = at once, for ever.
    start_time timestamptz,
    end_time timestamptz,
    etag text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, budget_number, scope)
);
