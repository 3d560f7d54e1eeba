-- name: publish
INSERT INTO states (flow, body, type)
SELECT :flow, :body, :type
 WHERE EXISTS (SELECT 1 FROM flows
                WHERE number = :flow AND owner = :replica AND incarnation = :incarnation)
    ON CONFLICT (flow) DO UPDATE SET body = excluded.body, type = excluded.type;

-- name: state_of
SELECT s.body, s.type FROM flows f JOIN states s ON s.flow = f.number
 WHERE f.type = :type AND f.id = :id;

-- name: delete_states
DELETE FROM states WHERE flow IN (SELECT value FROM json_each(:flows));
