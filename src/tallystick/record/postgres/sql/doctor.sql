-- server: what the database server is, how it keeps what was committed, and what the role that logs in may do
SELECT
    current_database()::text AS name,
    current_setting('server_version_num')::integer AS version_number,
    current_setting('server_version') AS version,
    current_setting('server_encoding') AS encoding,
    current_setting('fsync') = 'on' AS fsync,
    current_setting('full_page_writes') = 'on' AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('transaction_read_only') = 'on' AS read_only,
    current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
        - coalesce(current_setting('reserved_connections', true)::integer, 0) AS server_connections,
    (SELECT nullif(d.datconnlimit, -1) FROM pg_database AS d WHERE d.datname = current_database()) AS database_limit,
    nullif(me.rolconnlimit, -1) AS login_limit,
    me.rolname::text AS login,
    me.rolsuper OR me.rolcreaterole AS may_create_roles,
    app.rolname IS NOT NULL AS app_role_exists,
    coalesce(pg_has_role(me.oid, app.oid, $2), false) AS may_act_as_app,
    coalesce(pg_has_role(me.oid, app.oid, 'MEMBER WITH ADMIN OPTION'), false) AS has_admin_option,
    current_schema()::text AS schema,
    coalesce(has_schema_privilege(me.oid, current_schema()::text, 'CREATE'), false) AS may_create_tables
FROM pg_roles AS me LEFT JOIN pg_roles AS app ON app.rolname = $1
WHERE me.rolname = current_user;

-- merchant_defaults: the default providers of merchants
SELECT default_provider, count(*) AS merchants FROM merchant
WHERE default_provider IS NOT NULL GROUP BY default_provider ORDER BY default_provider;

-- relations: how many tables, views and sequences the database has beside its own and those of extensions
SELECT current_database()::text, count(*)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm', 'v', 'S') AND n.nspname <> 'information_schema'
  AND n.nspname !~ '^pg_' AND NOT EXISTS (
      SELECT 1 FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e');
