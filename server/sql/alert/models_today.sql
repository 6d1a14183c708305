-- How many alerts of each kind were raised about models since an instant: their number is bounded by day.
SELECT kind, count(*) AS "count!"
FROM alert
WHERE tenant_id = $1 AND budget_number IS NULL AND kind = ANY($2) AND create_time >= $3
GROUP BY kind
