-- name: register
INSERT INTO replicas (id, generation, batch, beat, lease)
VALUES (:replica, 0, 0, :now, :lease);

-- name: beat
UPDATE replicas SET beat = :now WHERE id = :replica;

-- name: fence
-- The first statement of a batch: no row changed, nothing written.
UPDATE replicas SET batch = :number, beat = :now
 WHERE id = :replica AND generation = :generation AND batch = :number - 1;

-- name: settle
-- A target, not "one more": an attempt that arrives late must change nothing.
UPDATE replicas SET generation = :target WHERE id = :replica AND generation < :target;

-- name: last_batch
SELECT batch FROM replicas WHERE id = :replica;

-- name: earliest_expiry
SELECT min(beat + max(lease, :lease)) FROM replicas WHERE id <> :replica;

-- name: reap
-- A replica is spared for its own lease too: processes may be set up differently.
DELETE FROM replicas
 WHERE id <> :replica AND (beat + max(lease, :lease) < :now OR id IN (SELECT value FROM json_each(:gone)));

-- name: other_replicas
SELECT id FROM replicas WHERE id <> :replica;

-- name: dead_owners
-- Walks from owner to owner on the index, whatever the number of flows each one has.
WITH RECURSIVE owners (id) AS (
    SELECT min(owner) FROM flows WHERE owner IS NOT NULL
    UNION ALL
    SELECT (SELECT min(f.owner) FROM flows f WHERE f.owner > o.id)
      FROM owners o WHERE o.id IS NOT NULL
)
SELECT id FROM owners
 WHERE id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM replicas r WHERE r.id = owners.id);

-- name: deregister
DELETE FROM replicas WHERE id = :replica;
