-- Open windows of a budget, or of one of its counters ($5), under its limit ($3) or that of the override in force ($4: now).
-- With $6 those that have ended, too, under the highest limit that they had.
UPDATE budget_window AS counter SET
    highest_limit = changed.highest_limit,
    overrun = counter.overrun + changed.excess,
    overrun_causes = CASE
        WHEN changed.excess = 0 THEN counter.overrun_causes
        ELSE counter.overrun_causes || jsonb_build_object(
            'budget_changed',
            (coalesce((counter.overrun_causes ->> 'budget_changed')::numeric(28,12), 0) + changed.excess)::text
        )
    END,
    version = counter.version + 1
FROM (
    SELECT
        open_window.scope,
        open_window.window_start,
        limited.highest_limit,
        greatest(committed.amount - limited.highest_limit - open_window.overrun, 0) AS excess
    FROM budget_window AS open_window
    LEFT JOIN budget_override AS other
        ON other.tenant_id = $1 AND other.budget_number = $2 AND other.scope = open_window.scope
        AND (other.start_time IS NULL OR other.start_time <= $4)
        AND (other.end_time IS NULL OR other.end_time > $4)
    CROSS JOIN LATERAL (
        SELECT greatest(
            open_window.highest_limit,
            CASE WHEN open_window.window_end > $4 THEN coalesce(other.limit_amount, $3) + open_window.carried END
        ) AS highest_limit
    ) AS limited
    CROSS JOIN LATERAL (SELECT open_window.spent + open_window.held + open_window.presumed AS amount) AS committed
    WHERE open_window.tenant_id = $1 AND open_window.budget_number = $2
        AND (open_window.window_end > $4 OR $6)
        AND ($5::uuid IS NULL OR open_window.scope = $5)
        AND (
            open_window.highest_limit < limited.highest_limit
            OR committed.amount > limited.highest_limit + open_window.overrun
        )
    ORDER BY open_window.scope, open_window.window_start
    FOR UPDATE OF open_window
) AS changed
WHERE counter.tenant_id = $1 AND counter.budget_number = $2
    AND counter.scope = changed.scope AND counter.window_start = changed.window_start
