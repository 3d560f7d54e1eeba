-- name: create_flow
-- A message does not begin a flow before its time.
INSERT INTO flows (type, id, status, owner, due_at, not_before, incarnation, version, inbox, seen,
                   cancel, crashes, param, parents, created_at, code, depth)
VALUES (:type, :id, 'live', :owner, :due_at, coalesce(:due_at, 0), :incarnation, 1, :inbox, :seen,
        0, 0, :param, :parents, :now, :code, :depth)
    ON CONFLICT (type, id) DO NOTHING;

-- name: find
SELECT number, type, id, status, result, result_type, error FROM flows
 WHERE type = :type AND id = :id;

-- name: attachable
SELECT number, param = :param, status, parents FROM flows
 WHERE type = :type AND id = :id;

-- name: number_of
SELECT number FROM flows WHERE type = :type AND id = :id;

-- name: join_parents
UPDATE flows SET parents = :parents, version = version + 1 WHERE number = :flow;

-- name: append
-- A live flow without owner becomes due. If it has not begun, or pauses after a failure, only a
-- cancel cuts that short. A parked one is not woken: it finds what came when it goes on.
-- Under the own replica `seen` moves along: it delivers.
UPDATE flows
   SET inbox = inbox + :count, version = version + 1, cancel = max(cancel, :cancels),
       seen = CASE WHEN owner = :replica THEN seen + :count ELSE seen END,
       due_at = CASE WHEN owner IS NOT NULL OR status = 'parked' THEN NULL
                     WHEN :cancels THEN min(coalesce(due_at, :now), :now)
                     ELSE min(coalesce(due_at, :now), max(:now, not_before)) END
 WHERE type = :type AND id = :id AND status IN ('live', 'parked')
RETURNING number, inbox, owner;

-- name: append_by_number
-- As append, where a number is known: who took the id of a deleted flow is another flow.
UPDATE flows
   SET inbox = inbox + :count, version = version + 1,
       seen = CASE WHEN owner = :replica THEN seen + :count ELSE seen END,
       due_at = CASE WHEN owner IS NULL AND status = 'live'
                     THEN min(coalesce(due_at, :now), max(:now, not_before)) END
 WHERE number = :flow AND status IN ('live', 'parked')
RETURNING number, inbox, owner;

-- name: ref_of
SELECT number, type, id FROM flows WHERE number = :flow;

-- name: suspend
UPDATE flows SET owner = NULL, due_at = :due_at, crashes = 0, version = version + 1
 WHERE number = :flow AND owner = :replica AND incarnation = :incarnation AND inbox = :seen;

-- name: release
UPDATE flows SET owner = NULL, due_at = :now, version = version + 1
 WHERE number = :flow AND owner = :replica AND incarnation = :incarnation;

-- name: acknowledge
UPDATE flows SET seen = min(inbox, max(seen, :inbox)), version = version + 1
 WHERE number = :flow AND owner = :replica AND incarnation = :incarnation;

-- name: end_flow
-- A parked flow tells nobody, so it need not know its parents.
UPDATE flows
   SET status = :status, owner = NULL, due_at = NULL, ended_at = :now, result = :result,
       result_type = :result_type, error = :error, crashes = 0, failed_at = :failed_at,
       mendable = :mendable, version = version + 1
 WHERE number = :flow AND owner = :replica AND incarnation = :incarnation
   AND (:status <> 'done' OR NOT cancel) AND (:status = 'parked' OR parents = :parents);

-- name: retry_flow
UPDATE flows
   SET owner = NULL, due_at = :due_at, not_before = :due_at, error = :error, crashes = 0,
       failures = failures + 1, version = version + 1
 WHERE number = :flow AND owner = :replica AND incarnation = :incarnation AND NOT cancel;

-- name: continue_flow
UPDATE flows
   SET param = :param, code = :code, incarnation = incarnation + 1, error = NULL, failures = 0,
       crashes = 0, version = version + 1
 WHERE number = :flow AND owner = :replica AND incarnation = :incarnation AND NOT cancel;

-- name: owns
SELECT 1 FROM flows WHERE number = :flow AND owner = :replica AND incarnation = :incarnation;

-- name: what_moved
SELECT inbox, cancel, parents FROM flows
 WHERE number = :flow AND owner = :replica AND incarnation = :incarnation;

-- name: orphans
-- Flows of dead replicas that got further, or lost their replica for the first time.
SELECT f.number
  FROM json_each(:dead) d CROSS JOIN json_each(:types) t CROSS JOIN flows f
 WHERE NOT EXISTS (SELECT 1 FROM replicas r WHERE r.id = d.value)
   AND f.owner = d.value AND f.type = t.value
   AND (f.crashes = 0 OR EXISTS (SELECT 1 FROM effects e
                                  WHERE e.flow = f.number AND e.incarnation = f.incarnation))
 LIMIT :limit;

-- name: suspect_orphans
-- Flows that lost their replica again without progress; `crashes` counts this time too.
SELECT f.number, f.crashes + 1 AS crashes
  FROM json_each(:dead) d CROSS JOIN json_each(:types) t CROSS JOIN flows f
 WHERE NOT EXISTS (SELECT 1 FROM replicas r WHERE r.id = d.value)
   AND f.owner = d.value AND f.type = t.value
   AND f.crashes >= 1 AND NOT EXISTS (SELECT 1 FROM effects e
                                       WHERE e.flow = f.number AND e.incarnation = f.incarnation)
 ORDER BY f.crashes DESC LIMIT :limit;

-- name: due
SELECT due_at, number FROM flows
 WHERE type = :type AND due_at <= :now AND crashes < 2
 ORDER BY due_at LIMIT :limit;

-- name: suspect_due
-- Nearly always empty: without the hint the planner walks all that is due to find that out.
SELECT due_at, number, crashes FROM flows INDEXED BY flows_suspect
 WHERE type = :type AND due_at <= :now AND crashes >= 2
 ORDER BY due_at LIMIT :limit;

-- name: claim
UPDATE flows
   SET crashes = CASE WHEN owner IS NULL THEN crashes
                      WHEN EXISTS (SELECT 1 FROM effects e
                                    WHERE e.flow = number AND e.incarnation = flows.incarnation)
                      THEN 1 ELSE crashes + 1 END,
       owner = :replica, incarnation = incarnation + 1, due_at = NULL, not_before = 0,
       seen = inbox, version = version + 1
 WHERE number IN (SELECT value FROM json_each(:flows));

-- name: park
UPDATE flows
   SET status = 'parked', owner = NULL, due_at = NULL, ended_at = :now, error = :error,
       crashes = 0, version = version + 1
 WHERE number = :flow
RETURNING number, type, id;

-- name: claimed
SELECT f.number, f.type, f.id, f.incarnation, f.param, f.inbox, f.crashes, f.parents, f.failures,
       f.code, f.depth
  FROM json_each(:flows) n CROSS JOIN flows f ON f.number = n.value
 WHERE f.owner = :replica
 ORDER BY n.key;

-- name: poll
-- One statement, so that an idle replica asks one question a poll.
SELECT 'due' AS what, min((SELECT min(f.due_at) FROM flows f
                            WHERE f.type = t.value AND f.due_at IS NOT NULL)) AS number,
       NULL AS type, NULL AS id, NULL AS status, NULL AS result, NULL AS result_type, NULL AS error
  FROM json_each(:types) t
UNION ALL
SELECT 'moved', f.number, NULL, NULL, NULL, NULL, NULL, NULL
  FROM flows f WHERE f.owner = :replica AND f.inbox > f.seen
UNION ALL
SELECT 'ended', f.number, f.type, f.id, f.status, f.result, f.result_type, f.error
  FROM json_each(:awaited) a CROSS JOIN flows f ON f.number = a.value
 WHERE f.status <> 'live'
UNION ALL
SELECT 'answered', m.flow, m.reply_type, m.key, CASE WHEN m.reply_failed THEN 'failed' END, m.reply,
       NULL, NULL
  FROM json_each(:asked) a
 CROSS JOIN messages m ON m.flow = json_extract(a.value, '$[0]')
                       AND m.key = json_extract(a.value, '$[1]')
 WHERE m.reply IS NOT NULL
UNION ALL
SELECT 'gone', json_extract(a.value, '$[0]'), NULL, json_extract(a.value, '$[1]'), NULL, NULL, NULL,
       NULL
  FROM json_each(:asked) a
 WHERE NOT EXISTS (SELECT 1 FROM messages m WHERE m.flow = json_extract(a.value, '$[0]')
                                              AND m.key = json_extract(a.value, '$[1]'));

-- name: owned
SELECT number, incarnation FROM flows WHERE owner = :replica;

-- name: inbox
SELECT f.inbox, m.flow, m.position, m.key, m.type, m.body, m.sent_at
  FROM flows f
  LEFT JOIN messages m INDEXED BY messages_pending ON m.flow = f.number AND m.consumed = 0
 WHERE f.number = :flow
 ORDER BY m.position;

-- name: view
SELECT number, type, id, status, owner, due_at, incarnation, inbox, version, crashes, created_at,
       ended_at, param, cancel, failures, code, error, parents
  FROM flows WHERE type = :type AND id = :id;

-- name: list_flows
SELECT number, type, id, status, owner, due_at, incarnation, inbox, version, crashes, created_at,
       ended_at, param, cancel, failures, code, error, parents
  FROM flows
 WHERE number > :after AND type = :type
   AND (:statuses = '[]' OR status IN (SELECT value FROM json_each(:statuses)))
 ORDER BY number LIMIT :limit;

-- name: amendable
SELECT status, failed_at, parents FROM flows
 WHERE number = :flow AND version = :version AND owner IS NULL;

-- name: amend
UPDATE flows SET param = coalesce(:param, param), version = version + 1
 WHERE number = :flow;

-- name: restart
UPDATE flows
   SET status = 'live', due_at = :now, ended_at = NULL, result = NULL, result_type = NULL,
       error = NULL, failures = 0, not_before = 0, crashes = 0, cancel = 0, failed_at = '[]',
       mendable = 0
 WHERE number = :flow;

-- name: mend
UPDATE flows
   SET status = 'live', due_at = :now, ended_at = NULL, error = NULL, not_before = 0, crashes = 0,
       mendable = 0, version = version + 1
 WHERE mendable = 1 AND type IN (SELECT value FROM json_each(:types))
RETURNING number;

-- name: ended_before
SELECT number FROM flows WHERE status = 'done' AND ended_at < :before
 ORDER BY ended_at LIMIT :limit;

-- name: removable
SELECT number FROM flows WHERE type = :type AND id = :id AND status <> 'live';

-- name: delete_flows
DELETE FROM flows WHERE number IN (SELECT value FROM json_each(:flows));
