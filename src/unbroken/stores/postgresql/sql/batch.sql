-- The parts of one statement that is a whole batch: those that a batch needs are joined, in this
-- order, by commas behind WITH. All that is written hangs on the row that the fence changed. What
-- stands in other rows is read as it was when the statement began; so decisions look only at rows
-- that the statement itself has locked, at rows that only this replica changes, or at RETURNING.

-- name: whole_batch
WITH {parts} SELECT f.now{answers} FROM fence f

-- name: whole_claim
WITH {parts} {answer}

-- name: with_fence
fence AS (
    UPDATE unbroken_fences SET batch = :number::bigint, segment = :number::bigint / 200
     WHERE replica = :replica::text AND segment = (:number::bigint - 1) / 200
       AND generation = :generation::bigint AND batch = :number::bigint - 1
    RETURNING coalesce(:now::bigint,
                       (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
)

-- name: with_beat
beaten AS (
    UPDATE unbroken_replicas SET beat = f.now FROM fence f WHERE id = :replica::text
)

-- name: with_starts
-- In the order of their ids, whoever starts: so no two wait for each other.
created AS (
    INSERT INTO unbroken_flows (type, id, status, owner, due_at, not_before, incarnation, version,
                                inbox, seen, crashes, failures, code, depth, cancel, mendable,
                                created_at, param, parents, failed_at)
    SELECT s.type, s.id, 'live', CASE WHEN s.owned THEN :replica::text END,
           CASE WHEN NOT s.owned THEN coalesce(s.due_at, f.now) END,
           CASE WHEN s.owned THEN 0 ELSE coalesce(s.due_at, f.now) END,
           CASE WHEN s.owned THEN 1 ELSE 0 END, 1, 0, 0, 0, 0, s.code, s.depth, false, false, f.now,
           s.param, s.parents, '[]'
      FROM fence f,
           (SELECT * FROM unnest(:start_types::text[], :start_ids::text[], :start_owned::boolean[],
                                 :start_due::bigint[], :start_codes::bigint[],
                                 :start_depths::integer[], :start_params::text[],
                                 :start_parents::text[])
                AS u (type, id, owned, due_at, code, depth, param, parents)
             ORDER BY type COLLATE "C", id COLLATE "C") AS s
        ON CONFLICT (type, id) DO NOTHING
    RETURNING number, type, id, parents
)

-- name: answer_starts
-- Who exists already and has a parent to take in must be looked at under a lock: not here.
ARRAY(SELECT number FROM created) AS numbers,
ARRAY(SELECT type FROM created) AS types,
ARRAY(SELECT id FROM created) AS ids,
1 / CASE WHEN (SELECT count(*) FROM created WHERE parents <> '[]') < :joining::bigint
          AND EXISTS (SELECT 1 FROM fence) THEN 0 ELSE 1 END AS unusual

-- name: with_records
-- A scalar subquery is asked once a record, by number; as a join it may be planned by owner.
recorded AS (
    INSERT INTO unbroken_effects (flow, key, kind, failed, type, body, digest, incarnation)
    SELECT e.flow, e.key, e.kind, e.failed, e.type, e.body, e.digest, e.incarnation
      FROM unnest(:flows::bigint[], :keys::text[], :kinds::text[], :failed::boolean[],
                  :types::text[], :bodies::text[], :digests::bigint[], :incarnations::bigint[])
           AS e (flow, key, kind, failed, type, body, digest, incarnation)
     WHERE EXISTS (SELECT 1 FROM fence)
       AND (SELECT f.owner = :replica::text AND f.incarnation = e.incarnation
              FROM unbroken_flows f WHERE f.number = e.flow)
        ON CONFLICT (flow, key) DO NOTHING
    RETURNING flow, key
)

-- name: answer_records
-- Which ones were written is told only if not all were.
CASE WHEN (SELECT count(*) FROM recorded) < cardinality(:keys::text[])
     THEN ARRAY(SELECT flow || ' ' || key FROM recorded) END AS recorded

-- name: answer_all_records
-- Where something follows from records, all of them must have been written.
1 / CASE WHEN (SELECT count(*) FROM recorded) < cardinality(:keys::text[])
          AND EXISTS (SELECT 1 FROM fence) THEN 0 ELSE 1 END AS incomplete

-- name: with_consumed
consumed AS (
    UPDATE unbroken_messages m SET consumed = 1
      FROM unnest(:consumed_flows::bigint[], :consumed_positions::bigint[]) AS c (flow, position)
     WHERE m.flow = c.flow AND m.position = c.position AND (SELECT count(*) FROM recorded) > 0
)

-- name: with_cleared
cleared AS (
    DELETE FROM unbroken_effects e
     USING unnest(:cleared_flows::bigint[], :cleared_keys::text[]) AS c (flow, key)
     WHERE (SELECT count(*) FROM recorded) > 0 AND e.flow = c.flow AND e.key >= c.key || '.' COLLATE "C" AND e.key < c.key || '0' COLLATE "C"
)

-- name: with_states
published AS (
    INSERT INTO unbroken_states (flow, body, type)
    SELECT DISTINCT ON (s.flow) s.flow, s.body, s.type
      FROM unnest(:state_flows::bigint[], :state_incarnations::bigint[], :state_bodies::text[],
                  :state_types::text[]) WITH ORDINALITY AS s (flow, incarnation, body, type, place)
     WHERE EXISTS (SELECT 1 FROM fence)
       AND (SELECT f.owner = :replica::text AND f.incarnation = s.incarnation
              FROM unbroken_flows f WHERE f.number = s.flow)
     ORDER BY s.flow, s.place DESC
        ON CONFLICT (flow) DO UPDATE SET body = excluded.body, type = excluded.type
)

-- name: with_changes
-- One UPDATE for every kind of change, behind one locking part: whoever changes several rows takes
-- them in the order of their numbers.
asked AS MATERIALIZED (
    SELECT u.place, u.kind, coalesce(u.flow, f.number) AS number, u.incarnation, u.seen, u.due_at,
           u.more, u.first, u.needs, u.cancels, u.of, u.status, u.result, u.result_type, u.error, u.parents, u.failed_at,
           u.mendable
      FROM unnest(:change_kinds::text[], :change_flows::bigint[], :change_types::text[],
                  :change_ids::text[], :change_incarnations::bigint[], :change_seen::bigint[],
                  :change_due::bigint[], :change_more::bigint[], :change_first::bigint[],
                  :change_needs::bigint[], :change_cancels::boolean[],
                  :change_of::bigint[], :end_statuses::text[], :end_results::text[], :end_result_types::text[],
                  :end_errors::text[], :end_parents::text[], :end_failed_at::text[],
                  :end_mendable::boolean[]) WITH ORDINALITY
           AS u (kind, flow, type, id, incarnation, seen, due_at, more, first, needs, cancels, of, status,
                 result, result_type, error, parents, failed_at, mendable, place)
      LEFT JOIN unbroken_flows f ON u.flow IS NULL AND f.type = u.type AND f.id = u.id
), locked AS MATERIALIZED (
    SELECT f.number FROM unbroken_flows f
     WHERE f.number = ANY (ARRAY(SELECT number FROM asked)) AND EXISTS (SELECT 1 FROM fence)
     ORDER BY f.number FOR NO KEY UPDATE
), moved AS (
    UPDATE unbroken_flows f
       SET version = f.version + 1, inbox = f.inbox + c.more, cancel = f.cancel OR c.cancels,
           seen = CASE WHEN c.kind IN ('append', 'tell') AND f.owner = :replica::text THEN f.seen + c.more
                       WHEN c.kind = 'acknowledge' THEN least(f.inbox, greatest(f.seen, c.seen))
                       ELSE f.seen END,
           owner = CASE WHEN c.kind IN ('append', 'tell', 'acknowledge') THEN f.owner END,
           due_at = CASE c.kind
                    WHEN 'suspend' THEN c.due_at
                    WHEN 'release' THEN b.now
                    WHEN 'acknowledge' THEN f.due_at
                    WHEN 'end' THEN NULL
                    ELSE CASE WHEN f.owner IS NOT NULL OR f.status = 'parked' THEN NULL
                              WHEN c.cancels THEN least(coalesce(f.due_at, b.now), b.now)
                              ELSE least(coalesce(f.due_at, b.now), greatest(b.now, f.not_before))
                         END
                    END,
           crashes = CASE WHEN c.kind IN ('suspend', 'end') THEN 0 ELSE f.crashes END,
           status = CASE WHEN c.kind = 'end' THEN c.status ELSE f.status END,
           ended_at = CASE WHEN c.kind = 'end' THEN b.now ELSE f.ended_at END,
           result = CASE WHEN c.kind = 'end' THEN c.result ELSE f.result END,
           result_type = CASE WHEN c.kind = 'end' THEN c.result_type ELSE f.result_type END,
           error = CASE WHEN c.kind = 'end' THEN c.error ELSE f.error END,
           failed_at = CASE WHEN c.kind = 'end' THEN c.failed_at ELSE f.failed_at END,
           mendable = CASE WHEN c.kind = 'end' THEN c.mendable ELSE f.mendable END
      FROM asked c, fence b, (SELECT count(*) AS many FROM locked) l
     WHERE l.many > 0 AND f.number = c.number
       AND CASE WHEN c.kind = 'append' THEN f.status IN ('live', 'parked')
                -- A parent, told of an end that a look at the child does not rule out; that the end
                -- really is, its message asks again.
                WHEN c.kind = 'tell' THEN f.status IN ('live', 'parked') AND EXISTS (
                     SELECT 1 FROM unbroken_flows o
                      WHERE o.number = c.of AND o.owner = :replica::text
                        AND o.incarnation = c.incarnation AND o.parents = c.parents
                        AND (c.status <> 'done' OR NOT o.cancel))
                ELSE f.owner = :replica::text AND f.incarnation = c.incarnation
                     AND CASE c.kind
                         WHEN 'suspend' THEN f.inbox = c.seen
                         WHEN 'end' THEN (c.status <> 'done' OR NOT f.cancel)
                                         AND (c.status = 'parked' OR f.parents = c.parents)
                         ELSE true END
           END
    RETURNING c.place, f.number, f.inbox, f.owner, c.more, c.first, c.needs
)

-- name: answer_changes
ARRAY(SELECT place FROM moved) AS places,
ARRAY(SELECT number FROM moved) AS moved,
ARRAY(SELECT inbox FROM moved) AS inboxes,
ARRAY(SELECT owner FROM moved) AS owners,
ARRAY(SELECT place FROM asked WHERE number IS NULL) AS absent

-- name: with_messages
-- A message follows from the change of its flow's row; one that tells of an end, from that end too.
-- Of equal keys the first one counts. Messages are found by where they stand, not by a join.
delivered AS (
    INSERT INTO unbroken_messages (flow, position, key, type, body, sent_at, consumed)
    SELECT v.number, v.inbox - v.more + m.nth, (:message_keys::text[])[v.first + m.nth],
           (:message_types::text[])[v.first + m.nth], (:message_bodies::text[])[v.first + m.nth],
           b.now, 0
      FROM fence b, moved v, generate_series(1, v.more) AS m (nth)
     WHERE v.needs IS NULL OR v.needs IN (SELECT place FROM moved)
     ORDER BY v.place, m.nth
        ON CONFLICT (flow, key) DO NOTHING
    RETURNING flow, position
)

-- name: answer_messages
ARRAY(SELECT flow FROM delivered) AS inbox_of,
ARRAY(SELECT position FROM delivered) AS positions

-- name: look_at_changes
-- What became of rows that a batch could not change. Of an own row nobody else changes the owner.
SELECT u.place, f.number, f.owner = :replica::text AND f.incarnation = u.incarnation, f.inbox,
       f.cancel, f.parents
  FROM unnest(:places::bigint[], :flows::bigint[], :types::text[], :ids::text[],
              :incarnations::bigint[]) AS u (place, flow, type, id, incarnation)
  JOIN unbroken_flows f
    ON f.number = coalesce(u.flow, (SELECT n.number FROM unbroken_flows n
                                     WHERE n.type = u.type AND n.id = u.id));

-- name: look_at_starts
SELECT f.number, f.type, f.id, f.param = u.param, f.status, f.result, f.result_type, f.error
  FROM unnest(:types::text[], :ids::text[], :params::text[]) AS u (type, id, param)
  JOIN unbroken_flows f ON f.type = u.type AND f.id = u.id;

-- name: with_claim
-- Candidates are rows as they were when the statement began; whoever moved since has another
-- version and is left out, so what is read of the chosen ones is whole. More candidates than
-- places: other replicas choose among the same. Suspects are for the careful way.
candidates AS MATERIALIZED (
    (SELECT f.number, f.version, NULL::bigint AS due_at
       FROM unbroken_flows f
      WHERE f.owner = ANY (:dead::text[]) AND f.type = ANY (:types::text[])
        AND NOT EXISTS (SELECT 1 FROM unbroken_replicas r WHERE r.id = f.owner)
      LIMIT :limit::bigint * 4)
    UNION ALL
    (SELECT d.number, d.version, d.due_at
       FROM fence b, unnest(:types::text[]) AS t (type)
      CROSS JOIN LATERAL (
            SELECT f.number, f.version, f.due_at FROM unbroken_flows f
             WHERE f.type = t.type AND f.due_at <= b.now AND f.crashes < 2
             ORDER BY f.due_at LIMIT :limit::bigint * 4) d
      ORDER BY d.due_at LIMIT :limit::bigint * 4)
), chosen AS MATERIALIZED (
    SELECT f.number, c.due_at
      FROM candidates c
      JOIN unbroken_flows f ON f.number = c.number AND f.version = c.version
     WHERE EXISTS (SELECT 1 FROM fence)
     ORDER BY c.due_at NULLS FIRST, c.number
     LIMIT :limit::bigint
       FOR NO KEY UPDATE OF f SKIP LOCKED
), claimed AS (
    UPDATE unbroken_flows f
       SET crashes = CASE WHEN f.owner IS NULL THEN f.crashes
                          WHEN EXISTS (SELECT 1 FROM unbroken_effects e
                                        WHERE e.flow = f.number AND e.incarnation = f.incarnation)
                          THEN 1 ELSE f.crashes + 1 END,
           owner = :replica::text, incarnation = f.incarnation + 1, due_at = NULL, not_before = 0,
           seen = f.inbox, version = f.version + 1
      FROM chosen c
     WHERE f.number = c.number
    RETURNING c.due_at AS was_due, f.number, f.type, f.id, f.incarnation, f.param, f.inbox,
              f.crashes, f.parents, f.failures, f.code, f.depth
)

-- name: answer_claim
-- A row for each flow, one without a flow if there is none.
SELECT b.now, c.number, c.type, c.id, c.incarnation, c.param, c.inbox, c.crashes, c.parents,
       c.failures, c.code, c.depth,
       e.keys, e.kinds, e.bodies, e.types, e.failed, e.digests, e.incarnations,
       m.positions, m.keys, m.types, m.bodies, m.sent,
       1 / CASE WHEN EXISTS (
               SELECT 1 FROM unbroken_flows f
                WHERE f.type = ANY (:types::text[]) AND f.due_at <= b.now AND f.crashes >= 2)
             OR EXISTS (
               SELECT 1 FROM unbroken_flows f
                WHERE f.owner = ANY (:dead::text[]) AND f.type = ANY (:types::text[])
                  AND f.crashes >= 1
                  AND NOT EXISTS (SELECT 1 FROM unbroken_effects e
                                   WHERE e.flow = f.number AND e.incarnation = f.incarnation))
           THEN 0 ELSE 1 END AS unusual
  FROM fence b
  LEFT JOIN claimed c ON true
  LEFT JOIN LATERAL (
       SELECT array_agg(e.key) AS keys, array_agg(e.kind) AS kinds, array_agg(e.body) AS bodies,
              array_agg(e.type) AS types, array_agg(e.failed) AS failed,
              array_agg(e.digest) AS digests, array_agg(e.incarnation) AS incarnations
         FROM unbroken_effects e WHERE e.flow = c.number) e ON true
  LEFT JOIN LATERAL (
       SELECT array_agg(p.position) AS positions, array_agg(p.key) AS keys,
              array_agg(p.type) AS types, array_agg(p.body) AS bodies, array_agg(p.sent_at) AS sent
         FROM (SELECT * FROM unbroken_messages q
                WHERE q.flow = c.number AND q.consumed = 0 ORDER BY q.position) p) m ON true
 ORDER BY c.was_due NULLS FIRST, c.number
