"""How a run of a flow ends: for good, to be tried again, or to go on anew with an empty journal."""

from __future__ import annotations

from collections.abc import Sequence

from unbroken.model.records import FlowRef, Parent, Status
from unbroken.stores.batch import Answer, Appended, Changed, Continue, End, NewMessage, Retry
from unbroken.stores.transactions.inboxes import tell
from unbroken.stores.transactions.places import Granted, free_places
from unbroken.stores.transactions.rows import (
    UNREADABLE,
    decode_parents,
    encode_keys,
    encode_parents,
)
from unbroken.stores.transactions.transaction import DamagedRow, Transaction

REFUSED = Changed(Answer.REFUSED)
ACCEPTED = Changed(Answer.ACCEPTED)


async def park(tx: Transaction, flow: int, error: str) -> FlowRef:
    """Stop a flow until an operator restarts it."""
    row = await tx.first("park", flow=flow, error=error, now=tx.now)
    assert row is not None
    return FlowRef(*row)


async def what_moved(tx: Transaction, replica: str, flow: int, incarnation: int) -> Changed:
    """Tell an owner what it did not know; who is not the owner is refused."""
    row = await tx.first("what_moved", flow=flow, replica=replica, incarnation=incarnation)
    if row is None:
        return REFUSED
    inbox, cancel, parents = row
    try:
        known = decode_parents(parents)
    except DamagedRow:
        await park(tx, flow, UNREADABLE)
        return REFUSED
    return Changed(Answer.MOVED, inbox, cancel == 1, known)


async def end_run(tx: Transaction, replica: str, part: End | Retry | Continue) -> Changed:
    """End a run of an owned flow in one of the three ways."""
    match part:
        case End():
            return await _end(tx, replica, part)
        case Retry():
            return await _retry(tx, replica, part)
        case Continue():
            return await _go_on_anew(tx, replica, part)


async def forget(tx: Transaction, flow: int, keys: Sequence[str]) -> None:
    """Delete effects with all that is recorded beneath them."""
    if keys:
        rows = [{"flow": flow, "key": key} for key in keys]
        await tx.change_many("forget", rows)
        await tx.change_many("clear", rows)


async def _end(tx: Transaction, replica: str, part: End) -> Changed:
    if not await _end_row(tx, replica, part, part.parents):
        moved = await what_moved(tx, replica, part.flow.number, part.incarnation)
        if moved.answer is Answer.REFUSED or set(moved.parents) != set(part.parents):
            return moved
        # The same parents in another order are the same parents.
        if not await _end_row(tx, replica, part, moved.parents):
            return moved
    if part.status is Status.PARKED:
        return ACCEPTED
    await _restore(tx, part.flow.number, part.restores)
    told: tuple[Appended, ...] = ()
    if part.told is not None:
        told = tuple(
            [await _tell_parent(tx, replica, parent, part.told) for parent in part.parents]
        )
    granted = await _freed(tx, replica, part.flow, frees=part.frees)
    return Changed(Answer.ACCEPTED, told=told, granted=granted) if told or granted else ACCEPTED


async def _retry(tx: Transaction, replica: str, part: Retry) -> Changed:
    changed = await tx.change(
        "retry_flow",
        flow=part.flow.number,
        replica=replica,
        incarnation=part.incarnation,
        error=part.error,
        due_at=part.due_at,
    )
    if not changed:
        return await what_moved(tx, replica, part.flow.number, part.incarnation)
    await forget(tx, part.flow.number, part.forgets)
    await _restore(tx, part.flow.number, part.restores)
    return await _accepted(tx, replica, part.flow, frees=part.frees)


async def _restore(tx: Transaction, flow: int, positions: Sequence[int]) -> None:
    if positions:
        await tx.change_many("restore", [{"flow": flow, "position": one} for one in positions])


async def _go_on_anew(tx: Transaction, replica: str, part: Continue) -> Changed:
    flow = part.flow.number
    changed = await tx.change(
        "continue_flow",
        flow=flow,
        replica=replica,
        incarnation=part.incarnation,
        param=part.param,
        code=part.code,
    )
    if not changed:
        return await what_moved(tx, replica, flow, part.incarnation)
    await tx.change("forget_journal", flow=flow)
    await tx.change("forget_messages", flow=flow)
    await tx.change("age_messages", flow=flow)
    return await _accepted(tx, replica, part.flow, frees=part.frees)


async def _end_row(tx: Transaction, replica: str, part: End, parents: tuple[Parent, ...]) -> bool:
    changed = await tx.change(
        "end_flow",
        flow=part.flow.number,
        replica=replica,
        incarnation=part.incarnation,
        status=part.status.value,
        result=part.body,
        result_type=part.type,
        error=part.error,
        parents=encode_parents(parents),
        failed_at=encode_keys(part.failed_at),
        mendable=part.mendable and part.status is Status.PARKED,
        now=tx.now,
    )
    return changed == 1


async def _tell_parent(tx: Transaction, replica: str, parent: Parent, told: NewMessage) -> Appended:
    return await tell(tx, replica, parent.flow, NewMessage(parent.key, told.type, told.body))


async def _accepted(tx: Transaction, replica: str, flow: FlowRef, *, frees: bool) -> Changed:
    granted = await _freed(tx, replica, flow, frees=frees)
    return Changed(Answer.ACCEPTED, granted=granted) if granted else ACCEPTED


async def _freed(tx: Transaction, replica: str, flow: FlowRef, *, frees: bool) -> Granted:
    return await free_places(tx, replica, (flow.number,)) if frees else ()
