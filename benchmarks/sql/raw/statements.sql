-- name: insert_effect
INSERT INTO effects (flow, key, kind, failed, type, body, digest, incarnation)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_flow
INSERT INTO flows (number, type, id, status, owner, due_at, incarnation, version, inbox, seen,
                   cancel, crashes, param, parents, created_at)
VALUES (?, ?, ?, 'live', ?, NULL, 1, 1, 0, 0, 0, 0, ?, '[]', ?);

-- name: end_flow
UPDATE flows SET status = 'done', owner = NULL, result = ?, ended_at = ? WHERE number = ?;

-- name: insert_message
INSERT INTO messages (flow, position, key, type, body, sent_at, consumed)
VALUES (?, ?, ?, ?, ?, ?, 0);

-- name: make_due
UPDATE flows SET inbox = inbox + 1, due_at = ? WHERE number = ?;

-- name: own_flow
UPDATE flows SET owner = ?, due_at = NULL, incarnation = incarnation + 1 WHERE number = ?;

-- name: read_flow
SELECT type, id, incarnation, param, inbox, crashes, parents FROM flows WHERE number = ?;

-- name: read_effects
SELECT key, kind, body, type, failed, digest, incarnation FROM effects WHERE flow = ?;

-- name: read_messages
SELECT position, key, type, body, sent_at FROM messages WHERE flow = ? AND consumed = 0;

-- name: consume_message
UPDATE messages SET consumed = 1 WHERE flow = ? AND position = ?;
