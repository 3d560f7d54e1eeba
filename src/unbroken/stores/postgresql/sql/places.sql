-- name: lock_queues
SELECT number FROM unbroken_turnstiles WHERE number = ANY (:numbers::integer[])
 ORDER BY number FOR UPDATE;

-- name: queue_up
INSERT INTO unbroken_places (queue, flow, key, most, held, since)
VALUES (:queue::text, :flow::bigint, :key::text, :most::bigint, false, :now::bigint)
    ON CONFLICT (flow, queue) DO NOTHING;

-- name: next_in_queue
-- A parked flow keeps its turn, but nobody waits until somebody has repaired it.
SELECT p.position, p.flow, f.type, f.id, p.key
  FROM unbroken_places p JOIN unbroken_flows f ON f.number = p.flow
 WHERE p.queue = :queue::text AND NOT p.held AND f.status = 'live'
 ORDER BY p.position LIMIT 1;

-- name: grant
-- Changes nothing unless fewer than its own limit hold a place. A flow that is being parked right
-- now is waited for: it gets nothing then.
UPDATE unbroken_places p SET held = true, since = :now::bigint
  FROM (SELECT f.number FROM unbroken_flows f
         WHERE f.number = (SELECT w.flow FROM unbroken_places w WHERE w.position = :position::bigint)
           AND f.status = 'live'
           AND (SELECT w.most FROM unbroken_places w WHERE w.position = :position::bigint)
               > (SELECT count(*) FROM unbroken_places h WHERE h.queue = :queue::text AND h.held)
           FOR NO KEY UPDATE) AS f
 WHERE p.position = :position::bigint;

-- name: leave_queue
DELETE FROM unbroken_places WHERE flow = :flow::bigint AND queue = :queue::text;

-- name: leave_with_effect
-- The key under which a place is told ends with the key of its effect: `~incarnation:key`.
DELETE FROM unbroken_places
 WHERE flow = :flow::bigint
   AND (substr(key, strpos(key, ':') + 1) = :key::text
        OR substr(key, strpos(key, ':') + 1) >= :key::text || '.' COLLATE "C"
       AND substr(key, strpos(key, ':') + 1) < :key::text || '0' COLLATE "C")
RETURNING queue;

-- name: queues_of
SELECT DISTINCT p.queue FROM unbroken_places p WHERE p.flow = ANY (:flows::bigint[]);

-- name: delete_places
DELETE FROM unbroken_places WHERE flow = ANY (:flows::bigint[]);

-- name: places
SELECT f.number, f.type, f.id, p.held, p.since
  FROM unbroken_places p JOIN unbroken_flows f ON f.number = p.flow
 WHERE p.queue = :queue::text
 ORDER BY p.held DESC, p.position;
