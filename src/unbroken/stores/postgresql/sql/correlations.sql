-- name: correlate
INSERT INTO unbroken_correlations (type, correlation, flow)
VALUES (:type::text, :correlation::text, :flow::bigint)
    ON CONFLICT (type, correlation, flow) DO NOTHING;

-- name: correlate_no_more
DELETE FROM unbroken_correlations
 WHERE type = :type::text AND correlation = :correlation::text AND flow = :flow::bigint;

-- name: correlated
SELECT f.number, f.type, f.id
  FROM unbroken_correlations c JOIN unbroken_flows f ON f.number = c.flow
 WHERE c.type = :type::text AND c.correlation = :correlation::text
   AND f.status IN ('live', 'parked')
 ORDER BY c.flow;

-- name: delete_correlations
DELETE FROM unbroken_correlations WHERE flow = ANY (:flows::bigint[]);
