"""Reads, each as a function of one transaction."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence

from unbroken.model.records import Claimed, Effect, FlowRef, Message, Outcome, Status
from unbroken.stores.sqlite.connection import Transaction
from unbroken.stores.sqlite.faults import DAMAGED, DamagedRow, primary_code
from unbroken.stores.sqlite.rows import (
    UNREADABLE,
    decode_parents,
    json,
    to_effect,
    to_message,
    to_outcome,
    to_view,
)
from unbroken.stores.store import FlowView, Inbox, Poll, Reaped


def look_for_dead(tx: Transaction, me: str, lease: int) -> Reaped:
    """Find owners without a row, and when the first lease of another replica is over."""
    dead = tuple(owner for (owner,) in tx.all("dead_owners"))
    row = tx.first("earliest_expiry", replica=me, lease=lease)
    return Reaped(tx.now, 0, dead, row[0] if row else None)


def poll(tx: Transaction, replica: str, types: Sequence[str], awaited: Sequence[int]) -> Poll:
    """Look for work in one statement; an awaited flow that cannot be read counts as parked."""
    try:
        return _poll(tx, replica, types, awaited)
    except DamagedRow:
        found = _poll(tx, replica, types, ())
    ended = [outcome for number in awaited for outcome in _ended(tx, number)]
    return Poll(found.at, found.next_due, found.moved, tuple(ended))


def _poll(tx: Transaction, replica: str, types: Sequence[str], awaited: Sequence[int]) -> Poll:
    next_due: int | None = None
    moved: list[int] = []
    ended: list[Outcome] = []
    rows = tx.all("poll", replica=replica, types=json(types), awaited=json(awaited))
    for what, *columns in rows:
        if what == "due":
            next_due = columns[0]
        elif what == "moved":
            moved.append(columns[0])
        else:
            ended.append(to_outcome(tuple(columns)))
    return Poll(tx.now, next_due, tuple(moved), tuple(ended))


def _ended(tx: Transaction, number: int) -> tuple[Outcome, ...]:
    try:
        return _poll(tx, "", (), (number,)).ended
    except DamagedRow:
        row = tx.first("ref_of", flow=number)
        return (Outcome(FlowRef(*row), Status.PARKED, error=UNREADABLE),) if row else ()


def load(tx: Transaction, replica: str, numbers: Sequence[int]) -> tuple[Claimed, ...]:
    """Read owned flows again; what cannot be read is left out."""
    claimed, _ = read_claimed(tx, replica, numbers)
    return claimed


def read_inbox(tx: Transaction, flow: int) -> Inbox | None:
    """Read counter and unconsumed messages of one snapshot."""
    row = tx.first("inbox_of", flow=flow)
    if row is None:
        return None
    messages = tx.all("pending_of", flows=json([flow]))
    return Inbox(row[0], tuple(to_message(message) for message in messages))


def find(tx: Transaction, type: str, id: str) -> Outcome | None:
    """Read how a flow stands; raises DamagedRow."""
    row = tx.first("find", type=type, id=id)
    return to_outcome(row) if row else None


def view(tx: Transaction, type: str, id: str) -> FlowView | None:
    """Read one flow's row; raises DamagedRow."""
    row = tx.first("view", type=type, id=id)
    return to_view(row) if row else None


def list_flows(
    tx: Transaction, type: str, statuses: Sequence[Status], after: int, limit: int
) -> tuple[FlowView, ...]:
    """Read flows of a type in the order of their numbers; raises DamagedRow."""
    wanted = json(status.value for status in statuses)
    rows = tx.all("list_flows", type=type, statuses=wanted, after=after, limit=limit)
    return tuple(to_view(row) for row in rows)


def read_claimed(
    tx: Transaction, replica: str, numbers: Sequence[int]
) -> tuple[tuple[Claimed, ...], list[int]]:
    """Read owned flows with effects and messages; and the numbers of those that cannot be read."""
    try:
        return _claimed(tx, replica, numbers), []
    except DamagedRow:
        pass
    except sqlite3.Error as error:
        if primary_code(error) not in DAMAGED:
            raise
    if len(numbers) == 1:
        return (), list(numbers)
    # One of them is damaged: read them apart, so that the others are not held up.
    claimed: list[Claimed] = []
    damaged: list[int] = []
    for number in numbers:
        readable, unreadable = read_claimed(tx, replica, [number])
        claimed += readable
        damaged += unreadable
    return tuple(claimed), damaged


def _claimed(tx: Transaction, replica: str, numbers: Sequence[int]) -> tuple[Claimed, ...]:
    flows = json(numbers)
    rows = tx.all("claimed", flows=flows, replica=replica)
    effects: defaultdict[int, list[Effect]] = defaultdict(list)
    for row in tx.all("effects_of", flows=flows):
        effects[row[0]].append(to_effect(row))
    messages: defaultdict[int, list[Message]] = defaultdict(list)
    for row in tx.all("pending_of", flows=flows):
        messages[row[0]].append(to_message(row))
    return tuple(
        Claimed(
            FlowRef(number, type_, id_),
            incarnation,
            param,
            inbox,
            crashes,
            decode_parents(parents),
            tuple(effects[number]),
            tuple(messages[number]),
        )
        for number, type_, id_, incarnation, param, inbox, crashes, parents in rows
    )
