-- Which of these occasions were told before.
SELECT occasion FROM alert WHERE tenant_id = $1 AND occasion = ANY($2)
