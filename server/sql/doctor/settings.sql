-- What the server says of itself, and of the connection on which it is asked. Times are in seconds, sizes in bytes.
SELECT
    current_setting('server_version_num')::int AS "version!",
    current_setting('fsync') AS "fsync!",
    current_setting('full_page_writes') AS "full_page_writes!",
    current_setting('synchronous_commit') AS "synchronous_commit!",
    current_setting('autovacuum') AS "autovacuum!",
    current_setting('track_counts') AS "track_counts!",
    current_setting('max_connections')::int AS "max_connections!",
    current_setting('superuser_reserved_connections')::int AS "reserved_connections!",
    pg_size_bytes(current_setting('max_wal_size')) AS "max_wal_bytes!",
    extract(epoch FROM current_setting('checkpoint_timeout')::interval)::int AS "checkpoint_seconds!",
    pg_is_in_recovery() AS "is_standby!",
    inet_server_addr() IS NOT NULL AND NOT (inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1') AS "is_remote!",
    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS "is_encrypted!"
