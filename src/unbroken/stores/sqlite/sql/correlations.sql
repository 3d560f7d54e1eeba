-- name: correlate
INSERT INTO correlations (type, correlation, flow) VALUES (:type, :correlation, :flow)
    ON CONFLICT (type, correlation, flow) DO NOTHING;

-- name: correlate_no_more
DELETE FROM correlations WHERE type = :type AND correlation = :correlation AND flow = :flow;

-- name: correlated
SELECT f.number, f.type, f.id
  FROM correlations c CROSS JOIN flows f ON f.number = c.flow
 WHERE c.type = :type AND c.correlation = :correlation AND f.status IN ('live', 'parked')
 ORDER BY c.flow;

-- name: delete_correlations
DELETE FROM correlations WHERE flow IN (SELECT value FROM json_each(:flows));
