"""Reads, each as a function of one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from unbroken.model.records import Claimed, Effect, FlowRef, Message, Outcome, Reply, Status
from unbroken.stores.store import FlowView, Inbox, Place, Poll, Question, State
from unbroken.stores.transactions.rows import (
    UNREADABLE,
    decode_parents,
    json,
    to_effect,
    to_message,
    to_outcome,
    to_reply,
    to_view,
)
from unbroken.stores.transactions.transaction import DamagedRow, Transaction


async def poll(
    tx: Transaction,
    replica: str,
    types: Sequence[str],
    awaited: Sequence[int],
    asked: Sequence[Question] = (),
) -> Poll:
    """Look for work in one statement; an awaited flow that cannot be read counts as parked.

    A reply that cannot be read is an error.
    """
    try:
        return await _poll(tx, replica, types, awaited, asked)
    except DamagedRow:
        found = await _poll(tx, replica, types)
    ended = [outcome for number in awaited for outcome in await _ended(tx, number)]
    answered = [pair for question in asked for pair in await _answered(tx, question)]
    return Poll(found.at, found.next_due, found.moved, tuple(ended), tuple(answered))


async def _poll(
    tx: Transaction,
    replica: str,
    types: Sequence[str],
    awaited: Sequence[int] = (),
    asked: Sequence[Question] = (),
) -> Poll:
    next_due: int | None = None
    moved: list[int] = []
    ended: list[Outcome] = []
    answered: list[tuple[Question, Reply]] = []
    gone: list[Question] = []
    rows = await tx.all(
        "poll",
        now=tx.now,
        replica=replica,
        types=tx.array(types),
        awaited=tx.array(awaited),
        asked=json((question.flow, question.key) for question in asked),
    )
    at = tx.now
    for what, *columns in rows:
        if what == "at":
            at = columns[0]
        elif what == "due":
            next_due = columns[0]
        elif what == "moved":
            moved.append(columns[0])
        elif what == "ended":
            ended.append(to_outcome(tuple(columns)))
        elif what == "gone":
            gone.append(Question(columns[0], columns[2]))
        else:
            flow, type_, key, failed, reply, *_ = columns
            answered.append((Question(flow, key), to_reply((reply, type_, failed is not None))))
    return Poll(at, next_due, tuple(moved), tuple(ended), tuple(answered), tuple(gone))


async def _ended(tx: Transaction, number: int) -> tuple[Outcome, ...]:
    try:
        return (await _poll(tx, "", (), (number,))).ended
    except DamagedRow:
        row = await tx.first("ref_of", flow=number)
        return (Outcome(FlowRef(*row), Status.PARKED, error=UNREADABLE),) if row else ()


async def _answered(tx: Transaction, question: Question) -> tuple[tuple[Question, Reply], ...]:
    try:
        return (await _poll(tx, "", (), (), (question,))).answered
    except DamagedRow:
        return ((question, Reply(UNREADABLE, failed=True)),)


async def owned(tx: Transaction, replica: str) -> dict[int, int]:
    """Give number and incarnation of every flow a replica owns."""
    return dict(await tx.all("owned", replica=replica))


async def load(tx: Transaction, replica: str, numbers: Sequence[int]) -> tuple[Claimed, ...]:
    """Read owned flows again; what cannot be read is left out."""
    claimed, _ = await read_claimed(tx, replica, numbers)
    return claimed


async def read_inbox(tx: Transaction, flow: int) -> Inbox | None:
    """Read counter and unconsumed messages, of one statement and so of one moment."""
    rows = await tx.all("inbox", flow=flow)
    if not rows:
        return None
    messages = (to_message(message) for _, *message in rows if message[0] is not None)
    return Inbox(rows[0][0], tuple(messages))


async def find(tx: Transaction, type: str, id: str) -> Outcome | None:
    """Read how a flow stands; raises DamagedRow."""
    row = await tx.first("find", type=type, id=id)
    return to_outcome(row) if row else None


async def view(tx: Transaction, type: str, id: str) -> FlowView | None:
    """Read one flow's row; raises DamagedRow."""
    row = await tx.first("view", type=type, id=id)
    return to_view(row) if row else None


async def read_effects(tx: Transaction, flow: int) -> tuple[Effect, ...]:
    """Read all that a flow has recorded, in the order of keys; raises DamagedRow."""
    return tuple(to_effect(row) for row in await tx.all("effects_in_order", flow=flow))


async def read_state(tx: Transaction, type: str, id: str) -> State | None:
    """Read what a flow published last; raises DamagedRow."""
    row = await tx.first("state_of", type=type, id=id)
    return State(*row) if row else None


async def read_reply(tx: Transaction, question: Question) -> Reply | None:
    """Read the reply to a message; raises DamagedRow."""
    row = await tx.first("reply_to", flow=question.flow, key=question.key)
    return to_reply(row) if row else None


async def correlated(tx: Transaction, type: str, correlation: str) -> tuple[FlowRef, ...]:
    """Find flows, live or parked, by a correlation id; raises DamagedRow."""
    rows = await tx.all("correlated", type=type, correlation=correlation)
    return tuple(FlowRef(*row) for row in rows)


async def places(tx: Transaction, queue: str) -> tuple[Place, ...]:
    """Read a queue: holders, then those who wait; raises DamagedRow."""
    rows = await tx.all("places", queue=queue)
    return tuple(
        Place(FlowRef(number, type_, id_), held == 1, since)
        for number, type_, id_, held, since in rows
    )


async def list_flows(
    tx: Transaction, type: str, statuses: Sequence[Status], after: int, limit: int
) -> tuple[FlowView, ...]:
    """Read flows of a type in the order of their numbers; raises DamagedRow."""
    wanted = tx.array(status.value for status in statuses)
    rows = await tx.all("list_flows", type=type, statuses=wanted, after=after, limit=limit)
    return tuple(to_view(row) for row in rows)


async def read_claimed(
    tx: Transaction, replica: str, numbers: Sequence[int]
) -> tuple[tuple[Claimed, ...], list[int]]:
    """Read owned flows with effects and messages; and the numbers of those that cannot be read."""
    try:
        return await _claimed(tx, replica, numbers), []
    except DamagedRow:
        pass
    except Exception as error:
        if not tx.tells_damage(error):
            raise
    if len(numbers) == 1:
        return (), list(numbers)
    # One of them is damaged: read them apart, so that the others are not held up.
    claimed: list[Claimed] = []
    damaged: list[int] = []
    for number in numbers:
        readable, unreadable = await read_claimed(tx, replica, [number])
        claimed += readable
        damaged += unreadable
    return tuple(claimed), damaged


async def _claimed(tx: Transaction, replica: str, numbers: Sequence[int]) -> tuple[Claimed, ...]:
    flows = tx.array(numbers)
    rows = await tx.all("claimed", flows=flows, replica=replica)
    effects: defaultdict[int, list[Effect]] = defaultdict(list)
    for row in await tx.all("effects_of", flows=flows):
        effects[row[0]].append(to_effect(row))
    messages: defaultdict[int, list[Message]] = defaultdict(list)
    for row in await tx.all("pending_of", flows=flows):
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
            *counters,
        )
        for number, type_, id_, incarnation, param, inbox, crashes, parents, *counters in rows
    )
