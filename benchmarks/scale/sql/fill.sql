-- Rows that the engine wrote itself, copied as often as is wanted.

-- name: indexes
-- The statements that drop the keys and indexes of both tables, and those that make them again.
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', c.conrelid::regclass, c.conname) AS drops,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::regclass, c.conname,
              pg_get_constraintdef(c.oid)) AS makes
  FROM pg_constraint c
 WHERE c.conrelid IN ('unbroken_flows'::regclass, 'unbroken_effects'::regclass)
   AND c.contype IN ('p', 'u')
UNION ALL
SELECT format('DROP INDEX %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
  FROM pg_index i
 WHERE i.indrelid IN ('unbroken_flows'::regclass, 'unbroken_effects'::regclass)
   AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)
 ORDER BY makes;

-- name: newest
SELECT coalesce(max(number), 0) FROM unbroken_flows;

-- name: fill
-- Those that sleep or wait stand scattered among the finished ones; finished flows end 3 seconds
-- after one another, sleepers wake in the course of a year. Every second id is in no order. Every
-- tenth finished flow keeps its effect.
WITH counted AS (
    SELECT n, n * ($4::bigint + $5::bigint) / $6::bigint AS suspended,
           n * ($4::bigint + $5::bigint) / $6::bigint
           > (n - 1) * ($4::bigint + $5::bigint) / $6::bigint AS is_suspended
      FROM generate_series($1::bigint, $2::bigint) AS n
), placed AS MATERIALIZED (
    SELECT n, CASE WHEN NOT is_suspended THEN 'model-finished'
                   WHEN suspended * $4::bigint / nullif($4::bigint + $5::bigint, 0)
                        > (suspended - 1) * $4::bigint / nullif($4::bigint + $5::bigint, 0)
                   THEN 'model-sleeping' ELSE 'model-waiting' END AS model
      FROM counted
), models AS MATERIALIZED (
    SELECT * FROM unbroken_flows
     WHERE id IN ('model-finished', 'model-sleeping', 'model-waiting')
), flows AS (
    INSERT INTO unbroken_flows (number, type, id, status, owner, due_at, not_before, incarnation,
                                version, inbox, seen, crashes, failures, code, depth, cancel,
                                mendable, created_at, ended_at, param, parents, failed_at, result,
                                result_type, error)
    SELECT $3::bigint + p.n, m.type,
           CASE WHEN p.n % 2 = 0 THEN 'order-' || lpad(($3::bigint + p.n)::text, 12, '0')
                ELSE md5(($3::bigint + p.n)::text)::uuid::text END,
           m.status, m.owner, m.due_at + p.n * 7919 % 31536000 * 1000000, m.not_before,
           m.incarnation, m.version, m.inbox, m.seen, m.crashes, m.failures, m.code, m.depth,
           m.cancel, m.mendable, m.created_at - ($6::bigint - p.n) * 3000000,
           m.ended_at - ($6::bigint - p.n) * 3000000, m.param, m.parents, m.failed_at, m.result,
           m.result_type, m.error
      FROM placed p JOIN models m ON m.id = p.model
)
INSERT INTO unbroken_effects (flow, key, kind, failed, type, body, digest, incarnation)
SELECT $3::bigint + p.n, e.key, e.kind, e.failed, e.type, e.body, e.digest, e.incarnation
  FROM placed p
  JOIN models m ON m.id = p.model
  JOIN unbroken_effects e ON e.flow = m.number
 WHERE p.model <> 'model-finished' OR p.n % 10 = 0;

-- name: count_on
SELECT setval(pg_get_serial_sequence('unbroken_flows', 'number'), max(number)) FROM unbroken_flows;

-- name: clean
VACUUM (ANALYZE) unbroken_flows, unbroken_effects, unbroken_messages, unbroken_fences,
                 unbroken_replicas;

-- name: sizes
SELECT count(*) FILTER (WHERE status = 'done') AS finished,
       count(*) FILTER (WHERE status = 'live') AS suspended,
       pg_database_size(current_database()) AS bytes
  FROM unbroken_flows;
