INSERT INTO erasure (
    tenant_id, erasure_id, request_id, dimension, symbol_id, pseudonym, key, scopes, reason, create_time, stage
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
