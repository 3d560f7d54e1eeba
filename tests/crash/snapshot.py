"""The store as any SQLite shell would show it, read without a line of our own store."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from pathlib import Path

import msgspec


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


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that is stored; effects and messages by the flow's name."""

    flows: dict[str, FlowRow] = {}
    effects: dict[str, dict[str, EffectRow]] = {}
    messages: dict[str, list[MessageRow]] = {}
    replicas: tuple[str, ...] = ()
    sound: bool = True


FLOWS = """
    SELECT number, type, id, status, owner, due_at, incarnation, inbox, crashes, result, error
      FROM flows"""
EFFECTS = "SELECT flow, key, kind, failed = 1, body, type, incarnation FROM effects"
MESSAGES = """
    SELECT flow, position, key, type, body, consumed = 1 FROM messages ORDER BY flow, position"""


def take(database: Path) -> Snapshot:
    """Read a database that nobody needs to be using; an absent one is empty."""
    if not database.exists():
        return Snapshot()
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'flows'").fetchone():
            return Snapshot()
        connection.execute("BEGIN")
        return _read(connection)
    finally:
        connection.close()


def _read(connection: sqlite3.Connection) -> Snapshot:
    rows = [FlowRow(*row) for row in connection.execute(FLOWS)]
    names = {row.number: row.name for row in rows}
    effects: defaultdict[str, dict[str, EffectRow]] = defaultdict(dict)
    for flow, key, kind, failed, *rest in connection.execute(EFFECTS):
        effects[names[flow]][key] = EffectRow(key, kind, failed == 1, *rest)
    messages: defaultdict[str, list[MessageRow]] = defaultdict(list)
    for flow, position, key, type_, body, consumed in connection.execute(MESSAGES):
        message = MessageRow(position, key, type_, body, consumed == 1)
        messages[names[flow]].append(message)
    replicas = tuple(id for (id,) in connection.execute("SELECT id FROM replicas"))
    (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
    return Snapshot(
        {row.name: row for row in rows}, dict(effects), dict(messages), replicas, sound == "ok"
    )
