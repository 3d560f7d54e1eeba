-- name: has_schema
SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version';

-- name: schema_version
SELECT max(number) FROM schema_version;

-- name: migrated
INSERT INTO schema_version (number, name, applied_at) VALUES (:number, :name, :now);
