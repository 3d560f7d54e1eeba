-- name: definition_of
SELECT sql FROM sqlite_master WHERE name = :table;

-- name: begun_flows
SELECT number, type, id, printf('%032d', 0), param, created_at FROM flows
 WHERE type = :type ORDER BY number;

-- name: ended_flows
SELECT result, ended_at, number FROM flows WHERE type = :type ORDER BY number;

-- name: effects_of
-- In the order in which flows that go along together record them: each its first, each its second.
SELECT e.flow, e.key, e.kind, e.failed, e.type, e.body, e.digest, e.incarnation
  FROM effects e JOIN flows f ON f.number = e.flow
 WHERE f.type = :type AND e.kind = :kind
 ORDER BY CAST(substr(e.key, instr(e.key || '#', '#') + 1) AS INTEGER), e.flow;

-- name: messages_of
SELECT m.flow, m.position, m.key, m.type, m.body, m.sent_at
  FROM messages m JOIN flows f ON f.number = m.flow
 WHERE f.type = :type ORDER BY m.flow;

-- name: owned_or_due
SELECT 1 FROM flows WHERE owner IS NOT NULL OR due_at < :soon LIMIT 1;
