-- For each budget and instant the stored windows around it: the last that begins until then, and the first that begins after.
SELECT DISTINCT wanted.budget_number AS "budget_number!", period.period_start AS "period_start!", period.period_end AS "period_end!"
FROM unnest($2::bigint[], $3::timestamptz[]) AS wanted (budget_number, at)
CROSS JOIN LATERAL (
    (
        SELECT period_start, period_end FROM budget_period
        WHERE tenant_id = $1 AND budget_number = wanted.budget_number AND period_start <= wanted.at
        ORDER BY period_start DESC
        LIMIT 1
    )
    UNION ALL
    (
        SELECT period_start, period_end FROM budget_period
        WHERE tenant_id = $1 AND budget_number = wanted.budget_number AND period_start > wanted.at
        ORDER BY period_start
        LIMIT 1
    )
) AS period
