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
        scope,
        window_start,
        greatest(highest_limit, $3) AS highest_limit,
        greatest(spent + held + presumed - greatest(highest_limit, $3) - overrun, 0) AS excess
    FROM budget_window
    WHERE tenant_id = $1 AND budget_number = $2 AND window_end > $4
        AND (highest_limit < $3 OR spent + held + presumed > greatest(highest_limit, $3) + overrun)
    ORDER BY scope, window_start
    FOR UPDATE
) AS changed
WHERE counter.tenant_id = $1 AND counter.budget_number = $2
    AND counter.scope = changed.scope AND counter.window_start = changed.window_start
