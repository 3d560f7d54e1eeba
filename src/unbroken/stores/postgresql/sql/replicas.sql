-- name: register
WITH came AS (
    INSERT INTO unbroken_replicas (id, beat, lease)
    VALUES (:replica::text, :now::bigint, :lease::bigint)
    RETURNING id
)
INSERT INTO unbroken_fences (replica, segment, generation, batch) SELECT id, 0, 0, 0 FROM came;

-- name: beat
-- A statement by itself: no time given is the server's own.
UPDATE unbroken_replicas
   SET beat = coalesce(nullif(:now::bigint, 0),
                       (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
 WHERE id = :replica::text;

-- name: other_replicas
SELECT id FROM unbroken_replicas WHERE id <> :replica::text;

-- name: earliest_expiry
SELECT min(beat + greatest(lease, :lease::bigint)) FROM unbroken_replicas WHERE id <> :replica::text;

-- name: reap
-- The rows that say who lives are locked first and looked at again; what a batch of the dead is
-- about to write, waits at its fence and is refused, or is waited for.
WITH dead AS MATERIALIZED (
    SELECT id FROM unbroken_replicas
     WHERE id <> :replica::text
       AND (beat + greatest(lease, :lease::bigint) < :now::bigint OR id = ANY (:gone::text[]))
     ORDER BY id FOR UPDATE
), unfenced AS (
    DELETE FROM unbroken_fences f USING dead d WHERE f.replica = d.id
)
DELETE FROM unbroken_replicas r USING dead d WHERE r.id = d.id;

-- name: deregister
WITH gone AS (DELETE FROM unbroken_replicas WHERE id = :replica::text)
DELETE FROM unbroken_fences WHERE replica = :replica::text;

-- name: dead_owners
-- Walks from owner to owner on the index, whatever the number of flows each one has.
WITH RECURSIVE owners (id) AS (
    SELECT min(owner) FROM unbroken_flows WHERE owner IS NOT NULL
    UNION ALL
    SELECT (SELECT min(f.owner) FROM unbroken_flows f WHERE f.owner > o.id)
      FROM owners o WHERE o.id IS NOT NULL
)
SELECT id FROM owners o
 WHERE id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM unbroken_replicas r WHERE r.id = o.id);
