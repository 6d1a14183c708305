-- Counters under the pseudonym. Overrides follow, so that a pseudonym's history shows the limit that it had.
WITH moved (budget_number, scope, to_scope, per_values) AS (
    SELECT * FROM unnest($2::bigint[], $3::uuid[], $4::uuid[], $5::jsonb[])
),
windows AS (
    UPDATE budget_window AS counter SET
        scope = moved.to_scope, per_values = moved.per_values, version = counter.version + 1
    FROM moved
    WHERE counter.tenant_id = $1 AND counter.budget_number = moved.budget_number AND counter.scope = moved.scope
    RETURNING counter.presumed
),
sealed AS (
    UPDATE sealed_counter AS counter SET scope = moved.to_scope, per_values = moved.per_values
    FROM moved
    WHERE counter.tenant_id = $1 AND counter.budget_number = moved.budget_number AND counter.scope = moved.scope
),
overrides AS (
    UPDATE budget_override AS counter SET scope = moved.to_scope, per_values = moved.per_values
    FROM moved
    WHERE counter.tenant_id = $1 AND counter.budget_number = moved.budget_number AND counter.scope = moved.scope
)
SELECT coalesce(bool_or(presumed > 0), false) AS "presuming!" FROM windows
