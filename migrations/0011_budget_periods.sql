-- The windows of budgets as the first replica that needed them computed them. Time zone rules change and replicas may know different
-- ones: what stands here goes for all of them, and no two windows of a budget overlap.
CREATE TABLE budget_period (
    tenant_id integer NOT NULL,
    budget_number bigint NOT NULL,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, budget_number, period_start)
);
INSERT INTO budget_period (tenant_id, budget_number, period_start, period_end)
SELECT tenant_id, budget_number, window_start, max(window_end) FROM budget_window
GROUP BY tenant_id, budget_number, window_start;
