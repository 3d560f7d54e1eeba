-- name: queue_up
INSERT INTO places (queue, flow, key, most, held, since)
VALUES (:queue, :flow, :key, :most, 0, :now)
    ON CONFLICT (flow, queue) DO NOTHING;

-- name: next_in_queue
-- A parked flow keeps its turn, but nobody waits until somebody has repaired it.
SELECT p.position, p.flow, f.type, f.id, p.key
  FROM places p CROSS JOIN flows f ON f.number = p.flow
 WHERE p.queue = :queue AND p.held = 0 AND f.status = 'live'
 ORDER BY p.position LIMIT 1;

-- name: grant
-- Changes nothing unless fewer than its own limit hold a place.
UPDATE places SET held = 1, since = :now
 WHERE position = :position
   AND most > (SELECT count(*) FROM places h WHERE h.queue = :queue AND h.held = 1);

-- name: leave_queue
DELETE FROM places WHERE flow = :flow AND queue = :queue;

-- name: leave_with_effect
-- The key under which a place is told ends with the key of its effect: `~incarnation:key`.
DELETE FROM places
 WHERE flow = :flow
   AND (substr(key, instr(key, ':') + 1) = :key
        OR substr(key, instr(key, ':') + 1) >= :key || '.'
       AND substr(key, instr(key, ':') + 1) < :key || '0')
RETURNING queue;

-- name: queues_of
SELECT DISTINCT p.queue
  FROM json_each(:flows) n CROSS JOIN places p ON p.flow = n.value;

-- name: delete_places
DELETE FROM places WHERE flow IN (SELECT value FROM json_each(:flows));

-- name: places
SELECT f.number, f.type, f.id, p.held, p.since
  FROM places p CROSS JOIN flows f ON f.number = p.flow
 WHERE p.queue = :queue
 ORDER BY p.held DESC, p.position;
