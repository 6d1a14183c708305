-- What open reservations hold against what counters say that is held: an index finds the open ones, whatever the number of
-- those that ended. A deleted budget no longer counts. Names at most $2 rows.
WITH ledger AS (
    SELECT part.budget AS budget_number, part.scope, part.window_start, sum(part.held) AS held
    FROM reservation
    CROSS JOIN LATERAL jsonb_to_recordset(reservation.parts)
        AS part (budget bigint, scope uuid, window_start timestamptz, held numeric)
    WHERE reservation.tenant_id = $1 AND reservation.state = 1
    GROUP BY 1, 2, 3
), stored AS (
    SELECT budget_number, scope, window_start, per_values, held
    FROM budget_window
    WHERE tenant_id = $1 AND held <> 0
), compared AS (
    SELECT
        coalesce(ledger.budget_number, stored.budget_number) AS budget_number,
        scope, window_start, stored.per_values, budget.budget_id,
        ledger.held AS ledger_held, stored.held AS stored_held,
        coalesce(ledger.held, 0) <> coalesce(stored.held, 0) AS drifts
    FROM ledger FULL JOIN stored USING (scope, window_start, budget_number)
    LEFT JOIN budget ON budget.tenant_id = $1 AND budget.budget_number = coalesce(
        ledger.budget_number, stored.budget_number
    )
    WHERE budget.delete_time IS NULL
)
SELECT
    count(*) AS "rows!",
    count(*) FILTER (WHERE drifts) AS "drifting!",
    coalesce(sum(ledger_held), 0) AS "ledger_held!",
    coalesce(sum(stored_held), 0) AS "stored_held!",
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'id', format(
                'budget %s, counter %s, window from %s', coalesce(drifting.budget_id, drifting.budget_number::text),
                coalesce(drifting.per_values::text, drifting.scope::text), to_jsonb(drifting.window_start) #>> '{}'
            ),
            'differences', jsonb_build_array(jsonb_build_object(
                'figure', 'held', 'ledger', drifting.ledger_held::text, 'stored', drifting.stored_held::text
            ))
        )), '[]')
        FROM (
            SELECT * FROM compared WHERE drifts ORDER BY budget_number, scope, window_start LIMIT $2
        ) AS drifting
    ) AS "examples!"
FROM compared
