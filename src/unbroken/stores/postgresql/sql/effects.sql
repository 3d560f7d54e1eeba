-- name: record
-- Written only if the replica owns this incarnation and the key is free.
INSERT INTO unbroken_effects (flow, key, kind, failed, type, body, digest, incarnation)
SELECT e.flow, e.key, e.kind, e.failed, e.type, e.body, e.digest, e.incarnation
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::boolean[], $5::text[], $6::text[],
              $7::bigint[], $8::bigint[], $9::text[])
       AS e (flow, key, kind, failed, type, body, digest, incarnation, replica)
 WHERE EXISTS (SELECT 1 FROM unbroken_flows f
                WHERE f.number = e.flow AND f.owner = e.replica AND f.incarnation = e.incarnation)
    ON CONFLICT (flow, key) DO NOTHING;

-- name: clear
-- Sub-keys of a key go, the key itself stays. '.' and '/' are neighbours, '0' follows them.
DELETE FROM unbroken_effects e
 USING unnest(:flow::bigint[], :key::text[]) AS c (flow, key)
 WHERE e.flow = c.flow AND e.key >= c.key || '.' COLLATE "C" AND e.key < c.key || '0' COLLATE "C";

-- name: drop_effects
-- A range, but for the key :own. Its end is no case of a plan: the scan has to stop there.
DELETE FROM unbroken_effects
 WHERE flow = :flow::bigint AND key >= :begin::text AND key < :end::text AND key <> :own::text;

-- name: drop_effects_from
DELETE FROM unbroken_effects
 WHERE flow = :flow::bigint AND key >= :begin::text AND key <> :own::text;

-- name: forget
DELETE FROM unbroken_effects e
 USING unnest(:flow::bigint[], :key::text[]) AS c (flow, key)
 WHERE e.flow = c.flow AND e.key = c.key;

-- name: forget_cancel
DELETE FROM unbroken_effects WHERE flow = :flow::bigint AND kind = 'cancel';

-- name: has_effect
SELECT 1 FROM unbroken_effects WHERE flow = :flow::bigint AND key = :key::text;

-- name: insert_effect
-- An effect that a flow starts with. Of incarnation 0: it is no progress of any.
INSERT INTO unbroken_effects (flow, key, kind, failed, type, body, digest, incarnation)
SELECT e.flow, e.key, e.kind, e.failed, e.type, e.body, e.digest, 0
  FROM unnest(:flow::bigint[], :key::text[], :kind::text[], :failed::boolean[], :type::text[],
              :body::text[], :digest::bigint[]) WITH ORDINALITY
       AS e (flow, key, kind, failed, type, body, digest, place)
 ORDER BY e.place
    ON CONFLICT (flow, key) DO NOTHING;

-- name: effects_in_order
SELECT flow, key, kind, body, type, failed, digest, incarnation FROM unbroken_effects
 WHERE flow = :flow::bigint ORDER BY key;

-- name: forget_journal
DELETE FROM unbroken_effects WHERE flow = :flow::bigint;

-- name: effects_of
SELECT e.flow, e.key, e.kind, e.body, e.type, e.failed, e.digest, e.incarnation
  FROM unbroken_effects e WHERE e.flow = ANY (:flows::bigint[]);

-- name: delete_effects
DELETE FROM unbroken_effects WHERE flow = ANY (:flows::bigint[]);
