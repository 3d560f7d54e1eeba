-- name: insert_message
INSERT INTO unbroken_messages (flow, position, key, type, body, sent_at, consumed)
VALUES (:flow::bigint, :position::bigint, :key::text, :type::text, :body::text, :now::bigint, 0)
    ON CONFLICT (flow, key) DO NOTHING;

-- name: consume
UPDATE unbroken_messages m SET consumed = 1
  FROM unnest(:flow::bigint[], :position::bigint[]) AS c (flow, position)
 WHERE m.flow = c.flow AND m.position = c.position;

-- name: restore
UPDATE unbroken_messages m SET consumed = 0
  FROM unnest(:flow::bigint[], :position::bigint[]) AS c (flow, position)
 WHERE m.flow = c.flow AND m.position = c.position;

-- name: reply
UPDATE unbroken_messages
   SET reply = :reply::text, reply_type = :type::text, reply_failed = :failed::boolean
 WHERE flow = :flow::bigint AND position = :position::bigint;

-- name: reply_to
SELECT reply, reply_type, reply_failed FROM unbroken_messages
 WHERE flow = :flow::bigint AND key = :key::text AND reply IS NOT NULL;

-- name: forget_messages
-- What was consumed before the last time, and what the engine sent for a journal that is gone.
DELETE FROM unbroken_messages
 WHERE flow = :flow::bigint AND (consumed = 2 OR (left(key, 1) = '~' AND key <> '~cancel'));

-- name: age_messages
UPDATE unbroken_messages SET consumed = 2 WHERE flow = :flow::bigint AND consumed = 1;

-- name: drop_cancel
DELETE FROM unbroken_messages WHERE flow = :flow::bigint AND key = '~cancel';

-- name: drop_told
DELETE FROM unbroken_messages WHERE flow = :flow::bigint AND key = :key::text AND consumed = 0;

-- name: pending_of
SELECT m.flow, m.position, m.key, m.type, m.body, m.sent_at
  FROM unbroken_messages m
 WHERE m.flow = ANY (:flows::bigint[]) AND m.consumed = 0
 ORDER BY m.flow, m.position;

-- name: delete_messages
DELETE FROM unbroken_messages WHERE flow = ANY (:flows::bigint[]);
