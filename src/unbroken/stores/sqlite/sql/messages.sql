-- name: insert_message
INSERT INTO messages (flow, position, key, type, body, sent_at, consumed)
VALUES (:flow, :position, :key, :type, :body, :now, 0)
    ON CONFLICT (flow, key) DO NOTHING;

-- name: consume
UPDATE messages SET consumed = 1 WHERE flow = :flow AND position = :position;

-- name: restore
UPDATE messages SET consumed = 0 WHERE flow = :flow AND position = :position;

-- name: reply
UPDATE messages SET reply = :reply, reply_type = :type, reply_failed = :failed
 WHERE flow = :flow AND position = :position;

-- name: reply_to
SELECT reply, reply_type, reply_failed FROM messages
 WHERE flow = :flow AND key = :key AND reply IS NOT NULL;

-- name: forget_messages
-- What was consumed before the last time, and what the engine sent for a journal that is gone.
DELETE FROM messages
 WHERE flow = :flow AND (consumed = 2 OR (substr(key, 1, 1) = '~' AND key <> '~cancel'));

-- name: age_messages
UPDATE messages SET consumed = 2 WHERE flow = :flow AND consumed = 1;

-- name: drop_cancel
DELETE FROM messages WHERE flow = :flow AND key = '~cancel';

-- name: drop_told
DELETE FROM messages WHERE flow = :flow AND key = :key AND consumed = 0;

-- name: pending_of
-- The primary key would do as well for the planner, but it walks what was consumed long ago.
SELECT m.flow, m.position, m.key, m.type, m.body, m.sent_at
  FROM json_each(:flows) n
 CROSS JOIN messages m INDEXED BY messages_pending ON m.flow = n.value AND m.consumed = 0
 ORDER BY n.key, m.position;

-- name: delete_messages
DELETE FROM messages WHERE flow IN (SELECT value FROM json_each(:flows));
