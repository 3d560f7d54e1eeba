"""The store as any shell of the database would show it, read without a line of our own store."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import psycopg


class FlowRow(msgspec.Struct, frozen=True):
    number: int
    type: str
    id: str
    status: str
    owner: str | None
    due_at: int | None
    incarnation: int
    inbox: int
    crashes: int
    result: str | None
    error: str | None

    @property
    def name(self) -> str:
        """Give the flow as the ledger calls it."""
        return f"{self.type} {self.id}"


class EffectRow(msgspec.Struct, frozen=True):
    key: str
    kind: str
    failed: bool
    body: str
    type: str | None
    incarnation: int


class MessageRow(msgspec.Struct, frozen=True):
    position: int
    key: str
    type: str
    body: str
    consumed: bool
    reply: str | None = None
    is_refusal: bool = False


class PlaceRow(msgspec.Struct, frozen=True):
    queue: str
    flow: str
    limit: int
    held: bool


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that is stored; effects and messages by the flow's name."""

    flows: dict[str, FlowRow] = {}
    effects: dict[str, dict[str, EffectRow]] = {}
    messages: dict[str, list[MessageRow]] = {}
    replicas: tuple[str, ...] = ()
    sound: bool = True
    places: tuple[PlaceRow, ...] = ()
    states: dict[str, str] = {}


# `{0}` stands before the name of each table. A truth may be a number or a boolean.
FLOWS = """
    SELECT number, type, id, status, owner, due_at, incarnation, inbox, crashes, result, error
      FROM {0}flows"""
EFFECTS = """
    SELECT flow, key, kind, CAST(failed AS integer) = 1, body, type, incarnation
      FROM {0}effects"""
MESSAGES = """
    SELECT flow, position, key, type, body, CAST(consumed AS integer) > 0,
           reply, CAST(reply_failed AS integer) = 1
      FROM {0}messages ORDER BY flow, position"""
STATES = "SELECT flow, body FROM {0}states"
PLACES = "SELECT queue, flow, most, CAST(held AS integer) = 1 FROM {0}places ORDER BY position"
REPLICAS = "SELECT id FROM {0}replicas"

Ask = Callable[[str], Iterable[tuple[Any, ...]]]


def take(database: Path) -> Snapshot:
    """Read a SQLite file that nobody needs to be using; an absent one is empty."""
    if not database.exists():
        return Snapshot()
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'flows'").fetchone():
            return Snapshot()
        connection.execute("BEGIN")
        return read(connection)
    finally:
        connection.close()


def read(connection: sqlite3.Connection) -> Snapshot:
    """Read a SQLite database within the transaction that is open."""
    (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
    return _read(connection.execute, "", sound=sound == "ok")


def take_tables(url: str, prefix: str) -> Snapshot:
    """Read the tables under a prefix of a PostgreSQL database; if they are absent, it is empty."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        there = connection.execute("SELECT to_regclass(%s)", (f"{prefix}flows",)).fetchone()
        if there == (None,):
            return Snapshot()
        return _read(lambda text: connection.execute(text.encode()), prefix, sound=True)


def _read(ask: Ask, prefix: str, *, sound: bool) -> Snapshot:
    rows = [FlowRow(*row) for row in ask(FLOWS.format(prefix))]
    names = {row.number: row.name for row in rows}
    effects: defaultdict[str, dict[str, EffectRow]] = defaultdict(dict)
    for flow, key, kind, failed, *rest in ask(EFFECTS.format(prefix)):
        effects[names[flow]][key] = EffectRow(key, kind, bool(failed), *rest)
    messages: defaultdict[str, list[MessageRow]] = defaultdict(list)
    for flow, position, key, type_, body, consumed, reply, refused in ask(MESSAGES.format(prefix)):
        message = MessageRow(position, key, type_, body, bool(consumed), reply, bool(refused))
        messages[names[flow]].append(message)
    places = tuple(
        PlaceRow(queue, names.get(flow, "nobody"), limit, bool(held))
        for queue, flow, limit, held in ask(PLACES.format(prefix))
    )
    return Snapshot(
        {row.name: row for row in rows},
        dict(effects),
        dict(messages),
        tuple(id for (id,) in ask(REPLICAS.format(prefix))),
        sound,
        places,
        {names[flow]: body for flow, body in ask(STATES.format(prefix)) if flow in names},
    )
