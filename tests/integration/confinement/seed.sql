-- One row of each of two tenants in every table that has a tenant_id, with some value of its type in each column that must have one.
DO $$
DECLARE
    filled regclass;
    tenant integer;
    names text;
    contents text;
    -- Of this moment, so that there is a partition for it.
    id text := rpad(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0'), 32, '0');
BEGIN
    FOR filled IN
        SELECT pg_class.oid
        FROM pg_class
        JOIN pg_attribute ON pg_attribute.attrelid = pg_class.oid AND pg_attribute.attname = 'tenant_id'
        WHERE pg_class.relnamespace = 'public'::regnamespace
            AND pg_class.relkind IN ('r', 'p') AND NOT pg_class.relispartition
    LOOP
        FOREACH tenant IN ARRAY ARRAY[1, 2]
        LOOP
            SELECT
                string_agg(quote_ident(attname), ', '),
                string_agg(
                    CASE
                        WHEN attname = 'tenant_id' THEN tenant::text
                        WHEN format_type(atttypid, NULL) LIKE '%[]' THEN '''{}'''
                        WHEN atttypid = 'uuid'::regtype THEN quote_literal(left(id, 31) || tenant)
                        WHEN atttypid = 'timestamptz'::regtype THEN 'now()'
                        WHEN atttypid = 'jsonb'::regtype THEN '''{}'''
                        WHEN atttypid = 'boolean'::regtype THEN 'false'
                        WHEN atttypid = 'bytea'::regtype THEN quote_literal('\x0' || tenant)
                        WHEN atttypid = 'text'::regtype THEN quote_literal('of tenant ' || tenant)
                        WHEN atttypid = 'smallint'::regtype THEN '1'
                        WHEN atttypid = 'measures'::regtype THEN 'jsonb_populate_record(NULL::measures, ''{}'')'
                        ELSE '2'
                    END,
                    ', '
                )
            INTO names, contents
            FROM pg_attribute
            WHERE attrelid = filled AND attnum > 0 AND NOT attisdropped AND attnotnull
                AND NOT atthasdef AND attidentity = '';
            EXECUTE format('INSERT INTO %s (%s) VALUES (%s) ON CONFLICT DO NOTHING', filled, names, contents);
        END LOOP;
    END LOOP;
END
$$;
