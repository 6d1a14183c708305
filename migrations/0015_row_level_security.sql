-- A tenant sees only its own: reads and administration run as the role tollgate_tenant, which row-level security confines to
-- the tenant that the transaction has set as tollgate.tenant. Where none is set there are no rows.
--
-- The owner of the tables is not confined (ENABLE without FORCE): it is the ledger's writer, which names the tenant in every
-- statement and row and writes for one tenant after the other, and it is every server of an earlier version. FORCE would confine
-- an owner who is no superuser, and such a server would find an empty ledger.

-- Roles belong to the cluster: another database of it may have made this one, or make it at this moment.
-- allow block: a role is made where it is missing, which an older binary never meets
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tollgate_tenant') THEN
        CREATE ROLE tollgate_tenant NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role tollgate_tenant is missing and % may not create roles: let an administrator run: CREATE ROLE tollgate_tenant NOLOGIN; GRANT tollgate_tenant TO %',
            current_user, quote_ident(current_user)
            USING ERRCODE = 'insufficient_privilege';
END
$$;
-- allow block: rights are given, and nothing is taken
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tollgate_tenant' AND (rolsuper OR rolbypassrls)) THEN
        RAISE EXCEPTION 'the role tollgate_tenant passes by row-level security: let an administrator run: ALTER ROLE tollgate_tenant NOSUPERUSER NOBYPASSRLS'
            USING ERRCODE = 'invalid_role_specification';
    END IF;
    -- Superusers are members of every role.
    IF NOT pg_has_role(current_user, 'tollgate_tenant', 'MEMBER') THEN
        EXECUTE format('GRANT tollgate_tenant TO %I', current_user);
    END IF;
    IF NOT has_schema_privilege('tollgate_tenant', current_schema(), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO tollgate_tenant', current_schema());
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION '% cannot become tollgate_tenant, or that role cannot use the schema: let an administrator run: GRANT tollgate_tenant TO %; GRANT USAGE ON SCHEMA % TO tollgate_tenant',
            current_user, quote_ident(current_user), quote_ident(current_schema())
            USING ERRCODE = 'insufficient_privilege';
END
$$;

-- Confines a table to the tenant of the transaction. For every table with a tenant_id, when it is made; once more changes nothing.
CREATE FUNCTION confine_to_tenant(confined regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', confined);
    IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = confined AND polname = 'of_tenant') THEN
        EXECUTE format(
            'CREATE POLICY of_tenant ON %s USING (%s) WITH CHECK (%2$s)',
            confined, 'tenant_id = nullif(current_setting(''tollgate.tenant'', true), '''')::integer'
        );
    END IF;
END
$$;

-- Partitions, too: whoever is let at one directly is confined there.
SELECT confine_to_tenant(pg_class.oid)
FROM pg_class
JOIN pg_attribute ON pg_attribute.attrelid = pg_class.oid AND pg_attribute.attname = 'tenant_id'
WHERE pg_class.relnamespace = current_schema()::regnamespace
    AND pg_class.relkind IN ('r', 'p')
    AND NOT pg_attribute.attisdropped;

-- Events and legs are read through their views, with the rights of the views' owner, and the views confine whom the policies
-- confine. A policy would hide the indexes of these tables: they are by expressions (the hour of the start, the session's number), of
-- which Postgres does not know that they keep secrets, so that it would look at every row's tenant before it computes them, and
-- a page of history would read the tenant's whole ledger. Both questions are asked once for each statement.
-- allow block: two views are replaced by the same with one condition, which owners pass
DO $$
DECLARE
    base text;
BEGIN
    FOREACH base IN ARRAY ARRAY['usage_event', 'usage_adjustment']
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE VIEW %I AS %s WHERE NOT (SELECT row_security_active(%L::regclass)) OR tenant_id = (SELECT %s)',
            base || '_wide',
            rtrim(pg_get_viewdef((base || '_wide')::regclass), '; '),
            base,
            'nullif(current_setting(''tollgate.tenant'', true), '''')::integer'
        );
    END LOOP;
END
$$;
COMMENT ON VIEW usage_event_wide IS 'shows what the policy of usage_event lets the reader see';
COMMENT ON VIEW usage_adjustment_wide IS 'shows what the policy of usage_adjustment lets the reader see';

-- What reads need.
GRANT SELECT ON
    tenant, symbol, shape, price_sheet, usage_event_wide, usage_adjustment_wide, external_key, session_usage,
    usage_rollup, user_rollup, sealed_session, sealed_rollup, sealed_counter, budget, budget_window, budget_period,
    budget_override, budget_backfill, budget_backfill_sum, reservation, alert, alert_position, alert_delivery,
    tenant_price, summary_page
TO tollgate_tenant;
-- What administration writes: budgets and what comes with them, prices, acknowledgements; alerts that a budget raises as it is
-- changed; pages of summaries. Events, totals and reservations are the ledger's alone.
GRANT UPDATE (budgets_version, prices_version) ON tenant TO tollgate_tenant;
GRANT INSERT, UPDATE ON budget, budget_window, tenant_price, alert_position TO tollgate_tenant;
GRANT INSERT, UPDATE, DELETE ON budget_override TO tollgate_tenant;
GRANT INSERT ON budget_period, alert, alert_delivery TO tollgate_tenant;
GRANT UPDATE (acknowledge_time, acknowledged_by, note) ON alert TO tollgate_tenant;
GRANT INSERT, DELETE ON budget_backfill, summary_page TO tollgate_tenant;
GRANT DELETE ON budget_backfill_sum TO tollgate_tenant;
-- Keys and view tokens of the tenant. Whose a credential is, is found out by the owner.
-- Which tenants a key speaks for is said by the owner alone.
GRANT SELECT, UPDATE (revoke_time) ON api_key TO tollgate_tenant;
GRANT INSERT (tenant_id, api_key_id, display_name, permissions, pinned, expire_time, request_id) ON api_key TO tollgate_tenant;
GRANT SELECT, INSERT, UPDATE (expire_time) ON api_key_secret TO tollgate_tenant;
GRANT SELECT, INSERT ON view_token TO tollgate_tenant;

-- Whoever could add a secret to a key that speaks for other tenants would speak for them.
CREATE POLICY no_secret_of_gateway ON api_key_secret AS RESTRICTIVE FOR INSERT WITH CHECK (
    NOT EXISTS (
        SELECT FROM api_key AS gateway
        WHERE gateway.tenant_id = api_key_secret.tenant_id
            AND gateway.api_key_id = api_key_secret.api_key_id
            AND gateway.granted_tenants <> '{}'
    )
);
