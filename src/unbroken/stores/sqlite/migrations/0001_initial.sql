-- Instants are microseconds since 1970 UTC. SQLite before 3.37 creates the tables without STRICT.

CREATE TABLE schema_version (
    number     INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

-- One row a process. It is the fence of its batches and the proof that it lives.
CREATE TABLE replicas (
    id         TEXT NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL,
    batch      INTEGER NOT NULL,
    beat       INTEGER NOT NULL,
    lease      INTEGER NOT NULL
) STRICT;

-- due_at is null for all that nobody may claim: owned, waiting for a message, ended.
-- A number is never used twice, so that whoever remembers one never meets another flow.
CREATE TABLE flows (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    type        TEXT NOT NULL,
    id          TEXT NOT NULL,
    status      TEXT NOT NULL,
    owner       TEXT,
    due_at      INTEGER,
    incarnation INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    inbox       INTEGER NOT NULL,
    seen        INTEGER NOT NULL,
    cancel      INTEGER NOT NULL,
    crashes     INTEGER NOT NULL,
    param       TEXT NOT NULL,
    result      TEXT,
    result_type TEXT,
    error       TEXT,
    parents     TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    UNIQUE (type, id)
) STRICT;

-- Only what can run, is owned, or waits for retention is indexed: history costs a claim nothing.
CREATE INDEX flows_due ON flows (type, due_at, crashes) WHERE due_at IS NOT NULL;

CREATE INDEX flows_suspect ON flows (type, due_at) WHERE due_at IS NOT NULL AND crashes >= 2;

CREATE INDEX flows_owner ON flows (owner, type, crashes) WHERE owner IS NOT NULL;

CREATE INDEX flows_moved ON flows (owner) WHERE owner IS NOT NULL AND inbox > seen;

CREATE INDEX flows_done ON flows (ended_at) WHERE status = 'done';

CREATE TABLE effects (
    flow        INTEGER NOT NULL,
    key         TEXT NOT NULL,
    kind        TEXT NOT NULL,
    failed      INTEGER NOT NULL,
    type        TEXT,
    body        TEXT NOT NULL,
    digest      INTEGER,
    incarnation INTEGER NOT NULL,
    PRIMARY KEY (flow, key)
) WITHOUT ROWID, STRICT;

CREATE TABLE messages (
    flow     INTEGER NOT NULL,
    position INTEGER NOT NULL,
    key      TEXT NOT NULL,
    type     TEXT NOT NULL,
    body     TEXT NOT NULL,
    sent_at  INTEGER NOT NULL,
    consumed INTEGER NOT NULL,
    PRIMARY KEY (flow, position),
    UNIQUE (flow, key)
) WITHOUT ROWID, STRICT;

CREATE INDEX messages_pending ON messages (flow, position) WHERE consumed = 0;
