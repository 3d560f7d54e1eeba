-- name: record
-- Written only if the replica owns this incarnation and the key is free.
INSERT INTO effects (flow, key, kind, failed, type, body, digest, incarnation)
SELECT :flow, :key, :kind, :failed, :type, :body, :digest, :incarnation
 WHERE EXISTS (SELECT 1 FROM flows
                WHERE number = :flow AND owner = :replica AND incarnation = :incarnation)
    ON CONFLICT (flow, key) DO NOTHING;

-- name: clear
-- Sub-keys of :key go, the key itself stays. '.' and '/' are neighbours, '0' follows them.
DELETE FROM effects WHERE flow = :flow AND key >= :key || '.' AND key < :key || '0';

-- name: effects_of
SELECT e.flow, e.key, e.kind, e.body, e.type, e.failed, e.digest, e.incarnation
  FROM json_each(:flows) n CROSS JOIN effects e ON e.flow = n.value;

-- name: delete_effects
DELETE FROM effects WHERE flow IN (SELECT value FROM json_each(:flows));
