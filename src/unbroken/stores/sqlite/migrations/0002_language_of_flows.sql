-- `failures` counts runs that failed and were tried again as declared, the next one not before
-- `not_before`; `failed_at` lists the effects that a restart forgets; a parked flow that is
-- `mendable` is tried again by the next start of an app.
ALTER TABLE flows ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;

ALTER TABLE flows ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0;

ALTER TABLE flows ADD COLUMN code INTEGER NOT NULL DEFAULT 1;

ALTER TABLE flows ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;

ALTER TABLE flows ADD COLUMN failed_at TEXT NOT NULL DEFAULT '[]';

ALTER TABLE flows ADD COLUMN mendable INTEGER NOT NULL DEFAULT 0;

CREATE INDEX flows_mendable ON flows (type) WHERE mendable = 1;

-- `consumed` is an age from now on: 0 pending, 1 consumed, 2 consumed before the flow went on anew.
ALTER TABLE messages ADD COLUMN reply TEXT;

ALTER TABLE messages ADD COLUMN reply_type TEXT;

ALTER TABLE messages ADD COLUMN reply_failed INTEGER NOT NULL DEFAULT 0;

CREATE TABLE states (
    flow INTEGER NOT NULL PRIMARY KEY,
    body TEXT NOT NULL,
    type TEXT
) STRICT;

CREATE TABLE correlations (
    type        TEXT NOT NULL,
    correlation TEXT NOT NULL,
    flow        INTEGER NOT NULL,
    PRIMARY KEY (type, correlation, flow)
) WITHOUT ROWID, STRICT;

CREATE INDEX correlations_flow ON correlations (flow);

-- The queues of locks and semaphores. A position is never used twice: who leaves and comes again
-- stands at the tail. `most` is how many may hold a place while this one is given one, `since` when
-- the flow began to wait or to hold.
CREATE TABLE places (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    queue    TEXT NOT NULL,
    flow     INTEGER NOT NULL,
    key      TEXT NOT NULL,
    most     INTEGER NOT NULL,
    held     INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    UNIQUE (flow, queue)
) STRICT;

CREATE INDEX places_queue ON places (queue, held, position);
