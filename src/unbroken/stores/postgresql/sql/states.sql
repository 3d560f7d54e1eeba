-- name: publish
-- The last one of a flow counts.
INSERT INTO unbroken_states (flow, body, type)
SELECT DISTINCT ON (s.flow) s.flow, s.body, s.type
  FROM unnest(:flow::bigint[], :incarnation::bigint[], :replica::text[], :body::text[],
              :type::text[]) WITH ORDINALITY AS s (flow, incarnation, replica, body, type, place)
  JOIN unbroken_flows f
    ON f.number = s.flow AND f.owner = s.replica AND f.incarnation = s.incarnation
 ORDER BY s.flow, s.place DESC
    ON CONFLICT (flow) DO UPDATE SET body = excluded.body, type = excluded.type;

-- name: state_of
SELECT s.body, s.type FROM unbroken_flows f JOIN unbroken_states s ON s.flow = f.number
 WHERE f.type = :type::text AND f.id = :id::text;

-- name: delete_states
DELETE FROM unbroken_states WHERE flow = ANY (:flows::bigint[]);
