-- name: insert_message
INSERT INTO messages (flow, position, key, type, body, sent_at, consumed)
VALUES (:flow, :position, :key, :type, :body, :now, 0)
    ON CONFLICT (flow, key) DO NOTHING;

-- name: consume
UPDATE messages SET consumed = 1 WHERE flow = :flow AND position = :position;

-- name: pending_of
-- The primary key would do as well for the planner, but it walks what was consumed long ago.
SELECT m.flow, m.position, m.key, m.type, m.body, m.sent_at
  FROM json_each(:flows) n
 CROSS JOIN messages m INDEXED BY messages_pending ON m.flow = n.value AND m.consumed = 0
 ORDER BY n.key, m.position;

-- name: delete_messages
DELETE FROM messages WHERE flow IN (SELECT value FROM json_each(:flows));
