-- name: create_flow
-- A message does not begin a flow before its time.
INSERT INTO unbroken_flows (type, id, status, owner, due_at, not_before, incarnation, version, inbox,
                            seen, crashes, failures, code, depth, cancel, mendable, created_at,
                            param, parents, failed_at)
VALUES (:type::text, :id::text, 'live', :owner::text, :due_at::bigint, coalesce(:due_at::bigint, 0),
        :incarnation::bigint, 1, :inbox::bigint, :seen::bigint, 0, 0, :code::bigint, :depth::integer,
        false, false, :now::bigint, :param::text, :parents::text, '[]')
    ON CONFLICT (type, id) DO NOTHING
RETURNING number;

-- name: lock_flows
-- In the order of their numbers, whoever locks: so no two wait for each other.
SELECT f.number FROM unbroken_flows f
 WHERE f.number = ANY (:flows::bigint[] || ARRAY(
           SELECT n.number FROM unnest(:types::text[], :ids::text[]) AS k (type, id)
             JOIN unbroken_flows n ON n.type = k.type AND n.id = k.id))
 ORDER BY f.number FOR NO KEY UPDATE;

-- name: find
SELECT number, type, id, status, result, result_type, error FROM unbroken_flows
 WHERE type = :type::text AND id = :id::text;

-- name: attachable
SELECT number, param = :param::text, status, parents FROM unbroken_flows
 WHERE type = :type::text AND id = :id::text;

-- name: number_of
SELECT number FROM unbroken_flows WHERE type = :type::text AND id = :id::text;

-- name: join_parents
UPDATE unbroken_flows SET parents = :parents::text, version = version + 1
 WHERE number = :flow::bigint;

-- name: append
-- A live flow without owner becomes due. If it has not begun, or pauses after a failure, only a
-- cancel cuts that short. A parked one is not woken: it finds what came when it goes on.
-- Under the own replica `seen` moves along: it delivers.
UPDATE unbroken_flows
   SET inbox = inbox + :count::bigint, version = version + 1, cancel = cancel OR :cancels::boolean,
       seen = CASE WHEN owner = :replica::text THEN seen + :count::bigint ELSE seen END,
       due_at = CASE WHEN owner IS NOT NULL OR status = 'parked' THEN NULL
                     WHEN :cancels::boolean THEN least(coalesce(due_at, :now::bigint), :now::bigint)
                     ELSE least(coalesce(due_at, :now::bigint), greatest(:now::bigint, not_before))
                END
 WHERE type = :type::text AND id = :id::text AND status IN ('live', 'parked')
RETURNING number, inbox, owner;

-- name: append_by_number
-- As append, where a number is known: who took the id of a deleted flow is another flow.
UPDATE unbroken_flows
   SET inbox = inbox + :count::bigint, version = version + 1,
       seen = CASE WHEN owner = :replica::text THEN seen + :count::bigint ELSE seen END,
       due_at = CASE WHEN owner IS NULL AND status = 'live'
                     THEN least(coalesce(due_at, :now::bigint), greatest(:now::bigint, not_before))
                END
 WHERE number = :flow::bigint AND status IN ('live', 'parked')
RETURNING number, inbox, owner;

-- name: ref_of
SELECT number, type, id FROM unbroken_flows WHERE number = :flow::bigint;

-- name: suspend
UPDATE unbroken_flows SET owner = NULL, due_at = :due_at::bigint, crashes = 0, version = version + 1
 WHERE number = :flow::bigint AND owner = :replica::text AND incarnation = :incarnation::bigint
   AND inbox = :seen::bigint;

-- name: release
UPDATE unbroken_flows SET owner = NULL, due_at = :now::bigint, version = version + 1
 WHERE number = :flow::bigint AND owner = :replica::text AND incarnation = :incarnation::bigint;

-- name: acknowledge
UPDATE unbroken_flows
   SET seen = least(inbox, greatest(seen, :inbox::bigint)), version = version + 1
 WHERE number = :flow::bigint AND owner = :replica::text AND incarnation = :incarnation::bigint;

-- name: end_flow
-- A parked flow tells nobody, so it need not know its parents.
UPDATE unbroken_flows
   SET status = :status::text, owner = NULL, due_at = NULL, ended_at = :now::bigint,
       result = :result::text, result_type = :result_type::text, error = :error::text, crashes = 0,
       failed_at = :failed_at::text, mendable = :mendable::boolean, version = version + 1
 WHERE number = :flow::bigint AND owner = :replica::text AND incarnation = :incarnation::bigint
   AND (:status::text <> 'done' OR NOT cancel)
   AND (:status::text = 'parked' OR parents = :parents::text);

-- name: retry_flow
UPDATE unbroken_flows
   SET owner = NULL, due_at = :due_at::bigint, not_before = :due_at::bigint, error = :error::text,
       crashes = 0, failures = failures + 1, version = version + 1
 WHERE number = :flow::bigint AND owner = :replica::text AND incarnation = :incarnation::bigint
   AND NOT cancel;

-- name: continue_flow
UPDATE unbroken_flows
   SET param = :param::text, code = :code::bigint, incarnation = incarnation + 1, error = NULL,
       failures = 0, crashes = 0, version = version + 1
 WHERE number = :flow::bigint AND owner = :replica::text AND incarnation = :incarnation::bigint
   AND NOT cancel;

-- name: owns
SELECT 1 FROM unbroken_flows
 WHERE number = :flow::bigint AND owner = :replica::text AND incarnation = :incarnation::bigint;

-- name: what_moved
SELECT inbox, cancel, parents FROM unbroken_flows
 WHERE number = :flow::bigint AND owner = :replica::text AND incarnation = :incarnation::bigint;

-- name: orphans
-- Flows of dead replicas that got further, or lost their replica for the first time. Who has a row
-- is asked of ids that are known to be dead: an owner that was born meanwhile is none of them.
SELECT f.number
  FROM unbroken_flows f
 WHERE f.owner = ANY (:dead::text[]) AND f.type = ANY (:types::text[])
   AND NOT EXISTS (SELECT 1 FROM unbroken_replicas r WHERE r.id = f.owner)
   AND (f.crashes = 0 OR EXISTS (SELECT 1 FROM unbroken_effects e
                                  WHERE e.flow = f.number AND e.incarnation = f.incarnation))
 LIMIT :limit::bigint FOR NO KEY UPDATE OF f SKIP LOCKED;

-- name: suspect_orphans
-- Flows that lost their replica again without progress; `crashes` counts this time too.
SELECT f.number, f.crashes + 1
  FROM unbroken_flows f
 WHERE f.owner = ANY (:dead::text[]) AND f.type = ANY (:types::text[])
   AND NOT EXISTS (SELECT 1 FROM unbroken_replicas r WHERE r.id = f.owner)
   AND f.crashes >= 1 AND NOT EXISTS (SELECT 1 FROM unbroken_effects e
                                       WHERE e.flow = f.number AND e.incarnation = f.incarnation)
 ORDER BY f.crashes DESC LIMIT :limit::bigint FOR NO KEY UPDATE OF f SKIP LOCKED;

-- name: due
SELECT due_at, number FROM unbroken_flows
 WHERE type = :type::text AND due_at <= :now::bigint AND crashes < 2
 ORDER BY due_at LIMIT :limit::bigint FOR NO KEY UPDATE SKIP LOCKED;

-- name: suspect_due
SELECT due_at, number, crashes FROM unbroken_flows
 WHERE type = :type::text AND due_at <= :now::bigint AND crashes >= 2
 ORDER BY due_at LIMIT :limit::bigint FOR NO KEY UPDATE SKIP LOCKED;

-- name: claim
UPDATE unbroken_flows f
   SET crashes = CASE WHEN owner IS NULL THEN crashes
                      WHEN EXISTS (SELECT 1 FROM unbroken_effects e
                                    WHERE e.flow = f.number AND e.incarnation = f.incarnation)
                      THEN 1 ELSE crashes + 1 END,
       owner = :replica::text, incarnation = incarnation + 1, due_at = NULL, not_before = 0,
       seen = inbox, version = version + 1
 WHERE number = ANY (:flows::bigint[]);

-- name: park
UPDATE unbroken_flows
   SET status = 'parked', owner = NULL, due_at = NULL, ended_at = :now::bigint, error = :error::text,
       crashes = 0, version = version + 1
 WHERE number = :flow::bigint
RETURNING number, type, id;

-- name: claimed
SELECT f.number, f.type, f.id, f.incarnation, f.param, f.inbox, f.crashes, f.parents, f.failures,
       f.code, f.depth
  FROM unnest(:flows::bigint[]) WITH ORDINALITY AS n (number, place)
  JOIN unbroken_flows f ON f.number = n.number
 WHERE f.owner = :replica::text
 ORDER BY n.place;

-- name: poll
-- One statement, so that an idle replica asks one question a poll. No time given is the server's.
SELECT 'at' AS what, coalesce(nullif(:now::bigint, 0),
                              (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS number,
       NULL AS type, NULL AS id, NULL AS status, NULL AS result, NULL AS result_type, NULL AS error
UNION ALL
SELECT 'due',
       min((SELECT min(d.due_at) FROM (
                (SELECT f.due_at FROM unbroken_flows f
                  WHERE f.type = t.type AND f.due_at IS NOT NULL AND f.crashes < 2
                  ORDER BY f.due_at LIMIT 1)
                UNION ALL
                (SELECT f.due_at FROM unbroken_flows f
                  WHERE f.type = t.type AND f.due_at IS NOT NULL AND f.crashes >= 2
                  ORDER BY f.due_at LIMIT 1)) d)), NULL, NULL, NULL, NULL, NULL, NULL
  FROM unnest(:types::text[]) AS t (type)
UNION ALL
SELECT 'moved', f.number, NULL, NULL, NULL, NULL, NULL, NULL
  FROM unbroken_flows f WHERE f.owner = :replica::text AND f.inbox > f.seen
UNION ALL
SELECT 'ended', f.number, f.type, f.id, f.status, f.result, f.result_type, f.error
  FROM unbroken_flows f WHERE f.number = ANY (:awaited::bigint[]) AND f.status <> 'live'
UNION ALL
SELECT 'answered', m.flow, m.reply_type, m.key, CASE WHEN m.reply_failed THEN 'failed' END, m.reply,
       NULL, NULL
  FROM jsonb_array_elements(:asked::text::jsonb) a
  JOIN unbroken_messages m ON m.flow = (a ->> 0)::bigint AND m.key = a ->> 1
 WHERE m.reply IS NOT NULL
UNION ALL
SELECT 'gone', (a ->> 0)::bigint, NULL, a ->> 1, NULL, NULL, NULL, NULL
  FROM jsonb_array_elements(:asked::text::jsonb) a
 WHERE NOT EXISTS (SELECT 1 FROM unbroken_messages m
                    WHERE m.flow = (a ->> 0)::bigint AND m.key = a ->> 1);

-- name: owned
SELECT number, incarnation FROM unbroken_flows WHERE owner = :replica::text;

-- name: inbox
SELECT f.inbox, m.flow, m.position, m.key, m.type, m.body, m.sent_at
  FROM unbroken_flows f
  LEFT JOIN unbroken_messages m ON m.flow = f.number AND m.consumed = 0
 WHERE f.number = :flow::bigint
 ORDER BY m.position;

-- name: view
SELECT number, type, id, status, owner, due_at, incarnation, inbox, version, crashes, created_at,
       ended_at, param, cancel, failures, code, error, parents
  FROM unbroken_flows WHERE type = :type::text AND id = :id::text;

-- name: list_flows
SELECT number, type, id, status, owner, due_at, incarnation, inbox, version, crashes, created_at,
       ended_at, param, cancel, failures, code, error, parents
  FROM unbroken_flows
 WHERE number > :after::bigint AND type = :type::text
   AND (cardinality(:statuses::text[]) = 0 OR status = ANY (:statuses::text[]))
 ORDER BY number LIMIT :limit::bigint;

-- name: amendable
SELECT status, failed_at, parents FROM unbroken_flows
 WHERE number = :flow::bigint AND version = :version::bigint AND owner IS NULL
   FOR NO KEY UPDATE;

-- name: amend
UPDATE unbroken_flows SET param = coalesce(:param::text, param), version = version + 1
 WHERE number = :flow::bigint;

-- name: restart
UPDATE unbroken_flows
   SET status = 'live', due_at = :now::bigint, ended_at = NULL, result = NULL, result_type = NULL,
       error = NULL, failures = 0, not_before = 0, crashes = 0, cancel = false, failed_at = '[]',
       mendable = false
 WHERE number = :flow::bigint;

-- name: mend
UPDATE unbroken_flows
   SET status = 'live', due_at = :now::bigint, ended_at = NULL, error = NULL, not_before = 0,
       crashes = 0, mendable = false, version = version + 1
 WHERE mendable AND type = ANY (:types::text[])
RETURNING number;

-- name: ended_before
SELECT number FROM unbroken_flows WHERE status = 'done' AND ended_at < :before::bigint
 ORDER BY ended_at LIMIT :limit::bigint FOR UPDATE SKIP LOCKED;

-- name: removable
SELECT number FROM unbroken_flows
 WHERE type = :type::text AND id = :id::text AND status <> 'live' FOR UPDATE;

-- name: delete_flows
DELETE FROM unbroken_flows WHERE number = ANY (:flows::bigint[]);
