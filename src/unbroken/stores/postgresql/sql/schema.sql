-- name: has_schema
SELECT to_regclass('unbroken_schema_version') IS NOT NULL;

-- name: make_schema_version
CREATE TABLE IF NOT EXISTS unbroken_schema_version (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at bigint NOT NULL
);

-- name: begin_schema
-- Number 0 stands for no migration. Its row is what migrations are applied under the lock of.
INSERT INTO unbroken_schema_version (number, name, applied_at) VALUES (0, 'beginning', :now::bigint)
    ON CONFLICT (number) DO NOTHING;

-- name: lock_schema
SELECT number FROM unbroken_schema_version WHERE number = 0 FOR UPDATE;

-- name: tables_of_others
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = current_schema() AND c.relname = ANY (:names::text[])
 ORDER BY c.relname;

-- name: schema_version
SELECT max(number) FROM unbroken_schema_version;

-- name: try_writing
-- Changes a row to what it is: a database that is read-only says so now and not at the first flow.
UPDATE unbroken_schema_version SET applied_at = applied_at WHERE number = 1;

-- name: migrated
INSERT INTO unbroken_schema_version (number, name, applied_at)
VALUES (:number::integer, :name::text, :now::bigint);

-- name: time
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

-- name: settings
SELECT name, setting FROM pg_catalog.pg_settings
 WHERE name IN ('fsync', 'full_page_writes', 'server_version_num', 'synchronous_commit',
                'transaction_read_only');

-- name: may_write
SELECT current_setting('transaction_read_only') = 'on' OR pg_is_in_recovery(),
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false);

-- name: connections
SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE client_port IS NOT NULL),
       current_setting('max_connections')::bigint;

-- name: oldest_transaction
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)::double precision
  FROM pg_catalog.pg_stat_activity WHERE datname = current_database();

-- name: replicas_alive
SELECT count(*),
       coalesce(extract(epoch FROM clock_timestamp()) - min(beat) / 1000000.0, 0)::double precision
  FROM unbroken_replicas;

-- name: flows_about
SELECT greatest(reltuples, 0)::bigint FROM pg_catalog.pg_class
 WHERE oid = to_regclass('unbroken_flows');

-- name: flows_live
SELECT (SELECT count(*) FROM unbroken_flows WHERE owner IS NOT NULL)
       + (SELECT count(*) FROM unbroken_flows WHERE due_at IS NOT NULL AND crashes < 2)
       + (SELECT count(*) FROM unbroken_flows WHERE due_at IS NOT NULL AND crashes >= 2),
       (SELECT count(*) FROM unbroken_flows WHERE mendable);

-- name: notify
-- In a transaction of its own that writes nothing: it costs no flush of the log.
SELECT pg_notify(:channel::text, :wish::text);
