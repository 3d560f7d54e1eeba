-- Tables with the columns of Unbroken's, without what makes them safe and quick to search.

-- name: create_flows
CREATE TABLE flows (
    number      bigint PRIMARY KEY,
    type        text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    status      text NOT NULL,
    owner       text COLLATE "C",
    incarnation bigint NOT NULL,
    created_at  bigint NOT NULL,
    param       text NOT NULL,
    result      text,
    UNIQUE (type, id)
);

-- name: create_effects
CREATE TABLE effects (
    flow        bigint NOT NULL,
    key         text COLLATE "C" NOT NULL,
    kind        text NOT NULL,
    failed      boolean NOT NULL,
    body        text NOT NULL,
    incarnation bigint NOT NULL,
    PRIMARY KEY (flow, key)
);

-- name: create_balls
CREATE TABLE balls (side text, number bigint, PRIMARY KEY (side, number));

-- name: insert_effect
INSERT INTO effects VALUES ($1, $2, 'capture', false, $3, 1);

-- name: insert_effects
INSERT INTO effects
SELECT flow, key, 'capture', false, body, 1
  FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (flow, key, body);

-- name: insert_flows
INSERT INTO flows
SELECT number, 'one_effect', id, 'live', repeat('0', 32), 1, 1000000 * number, param
  FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (number, id, param);

-- name: end_flows
UPDATE flows SET status = 'done', owner = NULL, result = ended.result
  FROM unnest($1::bigint[], $2::text[]) AS ended (number, result)
 WHERE flows.number = ended.number;

-- name: hit
WITH stored AS (INSERT INTO balls VALUES ($1, $2) RETURNING side, number)
SELECT pg_notify(side, number::text) FROM stored;
