SELECT DISTINCT tenant_id FROM erasure WHERE done_time IS NULL
