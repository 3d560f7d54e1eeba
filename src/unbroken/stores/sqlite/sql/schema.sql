-- name: has_schema
SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version';

-- name: tables_of_others
SELECT name FROM sqlite_master
 WHERE type IN ('table', 'view') AND lower(name) IN (SELECT value FROM json_each(:names))
 ORDER BY name;

-- name: schema_version
SELECT max(number) FROM schema_version;

-- name: try_writing
-- Changes a row to what it is: a database that is read-only says so now and not at the first flow.
UPDATE schema_version SET applied_at = applied_at WHERE number = 1;

-- name: migrated
INSERT INTO schema_version (number, name, applied_at) VALUES (:number, :name, :now);
