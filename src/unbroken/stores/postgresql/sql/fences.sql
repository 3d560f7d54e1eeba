-- name: fence
-- The first statement of a batch: no row changed, nothing written. A batch is a beat, too.
WITH passed AS (
    UPDATE unbroken_fences SET batch = :number::bigint, segment = :number::bigint / 200
     WHERE replica = :replica::text AND segment = (:number::bigint - 1) / 200
       AND generation = :generation::bigint AND batch = :number::bigint - 1
    RETURNING replica
)
UPDATE unbroken_replicas r SET beat = :now::bigint FROM passed p WHERE r.id = p.replica;

-- name: settle
-- A target, not "one more": an attempt that arrives late must change nothing.
UPDATE unbroken_fences SET generation = :target::bigint
 WHERE replica = :replica::text AND generation < :target::bigint;

-- name: last_batch
SELECT batch FROM unbroken_fences WHERE replica = :replica::text;
