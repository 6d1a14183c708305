SELECT symbol.symbol_id, symbol.dimension, symbol.value
FROM unnest($2::smallint[], $3::text[]) AS wanted (dimension, value)
JOIN symbol ON symbol.tenant_id = $1 AND symbol.dimension = wanted.dimension AND symbol.value = wanted.value
