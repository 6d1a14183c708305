-- Counters against their bounds: none is below zero, and those of hard budgets ($2) have committed at most the highest
-- limit of the window and what was lifted above it. Of windows that meet [$3, $4), where they are given; names at most $5 rows.
WITH compared AS (
    SELECT
        budget_window.*, budget.budget_id,
        budget_window.spent + budget_window.held + budget_window.presumed AS committed,
        budget_window.highest_limit + budget_window.overrun AS bound,
        least(budget_window.spent, budget_window.held, budget_window.presumed, budget_window.overrun) AS lowest,
        budget_window.budget_number = ANY($2::bigint[]) AS is_hard
    FROM budget_window
    JOIN budget ON budget.tenant_id = $1 AND budget.budget_number = budget_window.budget_number
    WHERE budget_window.tenant_id = $1 AND budget.delete_time IS NULL
        -- What is still counted back says nothing yet.
        AND NOT EXISTS (
            SELECT FROM budget_backfill AS job WHERE job.tenant_id = $1 AND job.budget_number = budget.budget_number
        )
        AND ($3::timestamptz IS NULL OR (
            budget_window.window_end > $3 AND budget_window.window_start < $4::timestamptz
        ))
), drifting AS (
    SELECT * FROM compared
    WHERE lowest < 0 OR (is_hard AND committed > bound)
)
SELECT
    (SELECT count(*) FROM compared) AS "rows!",
    (SELECT count(*) FROM drifting) AS "drifting!",
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', format(
                'budget %s, counter %s, window from %s', example.budget_id, example.per_values,
                to_jsonb(example.window_start) #>> '{}'
            ),
            'differences',
            CASE WHEN example.is_hard AND example.committed > example.bound THEN jsonb_build_array(jsonb_build_object(
                'figure', 'committed', 'ledger', 'at most ' || example.bound::text, 'stored', example.committed::text
            )) ELSE '[]' END
            || CASE WHEN example.lowest < 0 THEN jsonb_build_array(jsonb_build_object(
                'figure', 'lowest sum', 'ledger', 'at least 0', 'stored', example.lowest::text
            )) ELSE '[]' END
        )), '[]')
        FROM (SELECT * FROM drifting ORDER BY budget_number, scope, window_start LIMIT $5) AS example
    ) AS "examples!"
