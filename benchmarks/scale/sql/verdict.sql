-- What the database says about the work that was done.

-- name: under_way
SELECT (SELECT count(*) FROM unbroken_flows WHERE owner IS NOT NULL)
       + (SELECT count(*) FROM unbroken_flows
           WHERE due_at <= extract(epoch FROM clock_timestamp()) * 1000000);

-- name: time
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

-- name: in_bed
SELECT count(*) FROM unbroken_flows
 WHERE number > $1 AND type = 'Sleeper' AND owner IS NULL AND incarnation > 0
   AND due_at > extract(epoch FROM clock_timestamp()) * 1000000;

-- name: up
SELECT count(*) FROM unbroken_flows
 WHERE number > $1 AND type = 'Sleeper' AND status = 'done';

-- name: slept
-- The effect holds when a flow wanted to wake and when it did. The first incarnation goes to bed,
-- the second is up: a third one was claimed without need.
SELECT count(*) AS flows,
       count(*) FILTER (WHERE s.woke < s.due OR s.ended_at < s.due) AS early,
       count(*) FILTER (WHERE s.incarnation <> 2) AS again,
       (max(s.ended_at) - min(s.due)) / 1e6::double precision AS seconds,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY s.woke - s.due) / 1e6 AS late
  FROM (SELECT f.ended_at, f.incarnation, (e.body::jsonb ->> 0)::bigint AS due,
               (e.body::jsonb ->> 1)::bigint AS woke
          FROM unbroken_flows f JOIN unbroken_effects e ON e.flow = f.number AND e.key = 'up'
         WHERE f.number > $1 AND f.type = 'Sleeper' AND f.status = 'done') s;

-- name: read
SELECT count(*) AS messages, count(*) FILTER (WHERE m.consumed = 1) AS consumed
  FROM unbroken_flows f JOIN unbroken_messages m ON m.flow = f.number
 WHERE f.type = $1 AND f.id = $2;

-- name: waiting
-- Scattered over all that wait.
SELECT number, id FROM (
    SELECT number, id, row_number() OVER (ORDER BY number) AS place, count(*) OVER () AS many
      FROM unbroken_flows
     WHERE type = 'Order' AND status = 'live' AND owner IS NULL AND due_at IS NULL) w
 WHERE place * $1::bigint / many > (place - 1) * $1::bigint / many;

-- name: ended
SELECT count(*) FROM unbroken_flows WHERE number = ANY ($1::bigint[]) AND status = 'done';

-- name: woken
-- One message and one more effect each: what was there before, and the message.
SELECT count(*) FILTER (WHERE f.status = 'done') AS flows,
       count(*) FILTER (WHERE f.incarnation <> 2) AS again,
       (max(f.ended_at) - $2::bigint) / 1e6::double precision AS seconds,
       (SELECT count(*) FROM unbroken_messages m
         WHERE m.flow = ANY ($1::bigint[]) AND m.consumed = 1) AS consumed,
       (SELECT count(*) FROM unbroken_effects e
         WHERE e.flow = ANY ($1::bigint[]) AND e.kind = 'message') AS recorded
  FROM unbroken_flows f WHERE f.number = ANY ($1::bigint[]);
