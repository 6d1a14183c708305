-- Digests come sorted: two writers that add the same ones wait for each other in one order.
INSERT INTO price_sheet (tenant_id, digest, content)
SELECT $1, wanted.digest, wanted.content
FROM unnest($2::uuid[], $3::jsonb[]) AS wanted (digest, content)
ON CONFLICT DO NOTHING
RETURNING price_sheet_id, digest
