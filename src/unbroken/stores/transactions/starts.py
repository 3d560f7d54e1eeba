"""Starts: a flow is created, with all that is there before its first line, or attached to."""

from __future__ import annotations

from unbroken.model.records import FlowRef, Outcome, Parent, Status
from unbroken.stores.batch import Start, Started
from unbroken.stores.transactions.endings import park
from unbroken.stores.transactions.inboxes import insert_messages
from unbroken.stores.transactions.reads import find
from unbroken.stores.transactions.rows import (
    NO_PARENTS,
    UNREADABLE,
    UNTOLD,
    decode_parents,
    encode_parents,
)
from unbroken.stores.transactions.transaction import DamagedRow, Transaction


async def start(tx: Transaction, replica: str, new: Start) -> Started:
    """Create a flow or attach to the one that has its id, under this type or an alias."""
    if new.aliases:
        for name in (new.type, *new.aliases):
            if found := await _attach(tx, new, name):
                return found
    while (number := await _create(tx, replica, new)) is None:
        if found := await _attach(tx, new, new.type):
            return found
        # Who had the id was deleted in between.
    if new.effects:
        await _insert_effects(tx, number, new)
    if new.messages:
        await insert_messages(tx, number, len(new.messages), new.messages)
    return Started(FlowRef(number, new.type, new.id), created=True)


async def _create(tx: Transaction, replica: str, new: Start) -> int | None:
    count = len(new.messages)
    return await tx.insert(
        "create_flow",
        type=new.type,
        id=new.id,
        owner=replica if new.owned else None,
        due_at=None if new.owned else tx.now if new.due_at is None else new.due_at,
        incarnation=1 if new.owned else 0,
        inbox=count,
        seen=count if new.owned else 0,
        param=new.param,
        parents=encode_parents((new.parent,)) if new.parent else NO_PARENTS,
        code=new.code,
        depth=new.depth,
        now=tx.now,
    )


async def _insert_effects(tx: Transaction, flow: int, new: Start) -> None:
    rows = [
        {
            "flow": flow,
            "key": effect.key,
            "kind": str(effect.kind),
            "failed": effect.failed,
            "type": effect.type,
            "body": effect.body,
            "digest": effect.digest,
        }
        for effect in new.effects
    ]
    await tx.change_many("insert_effect", rows)


async def _attach(tx: Transaction, new: Start, type_: str) -> Started | None:
    if new.parent is not None:
        await tx.lock((), ((type_, new.id),))
    row = await tx.first("attachable", type=type_, id=new.id, param=new.param)
    if row is None:
        return None
    number, same_param, status, parents = row
    is_live = status == Status.LIVE
    flow = FlowRef(number, type_, new.id)
    outcome: Outcome | None = None
    try:
        if new.parent is not None and status in UNTOLD:
            await _join(tx, number, parents, new.parent)
        if not is_live:
            outcome = await find(tx, type_, new.id)
            if outcome is None:
                return None
            if outcome.status is Status.LIVE:  # restarted in between
                outcome = None
    except DamagedRow:
        if is_live:
            await park(tx, number, UNREADABLE)
        outcome = Outcome(flow, Status.PARKED, error=UNREADABLE)
    return Started(flow, created=False, same_param=same_param == 1, outcome=outcome)


async def _join(tx: Transaction, flow: int, stored: str, parent: Parent) -> None:
    parents = decode_parents(stored)
    if parent not in parents:
        await tx.change("join_parents", flow=flow, parents=encode_parents((*parents, parent)))
