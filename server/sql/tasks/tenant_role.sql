-- Whether whoever connects can become the role that confines tenants, and whether that role confines.
SELECT
    current_user::text AS "user!",
    coalesce(bool_or(pg_has_role(role.oid, 'MEMBER') AND has_table_privilege(role.oid, 'tenant', 'SELECT')), false)
        AS "is_usable!",
    coalesce(bool_or(role.rolsuper OR role.rolbypassrls), false) AS "passes_by!"
FROM pg_roles AS role
WHERE role.rolname = $1
