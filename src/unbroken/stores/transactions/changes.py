"""The changes of a batch: each one as a function of an open transaction."""

from __future__ import annotations

from unbroken.stores.batch import (
    Acknowledge,
    Append,
    Appended,
    Change,
    Changed,
    Continue,
    Correlate,
    End,
    LeavePlace,
    Release,
    Retry,
    Suspend,
    TakePlace,
)
from unbroken.stores.transactions.endings import ACCEPTED, REFUSED, end_run, what_moved
from unbroken.stores.transactions.inboxes import append
from unbroken.stores.transactions.places import change_queue
from unbroken.stores.transactions.transaction import Transaction


async def change(tx: Transaction, replica: str, part: Change) -> Changed | Appended:
    """Apply one change and say what became of it."""
    match part:
        case Append():
            return await append(tx, replica, part)
        case Suspend():
            return await _suspend(tx, replica, part)
        case End() | Retry() | Continue():
            return await end_run(tx, replica, part)
        case TakePlace() | LeavePlace():
            return await change_queue(tx, replica, part)
        case Release():
            return await _release(tx, replica, part)
        case Acknowledge():
            return await _acknowledge(tx, replica, part)
        case Correlate():
            return await _correlate(tx, replica, part)


async def _suspend(tx: Transaction, replica: str, part: Suspend) -> Changed:
    done = await tx.change(
        "suspend",
        flow=part.flow.number,
        replica=replica,
        incarnation=part.incarnation,
        seen=part.seen,
        due_at=part.due_at,
    )
    return ACCEPTED if done else await what_moved(tx, replica, part.flow.number, part.incarnation)


async def _release(tx: Transaction, replica: str, part: Release) -> Changed:
    done = await tx.change(
        "release",
        flow=part.flow.number,
        replica=replica,
        incarnation=part.incarnation,
        now=tx.now,
    )
    return ACCEPTED if done else REFUSED


async def _acknowledge(tx: Transaction, replica: str, part: Acknowledge) -> Changed:
    done = await tx.change(
        "acknowledge",
        flow=part.flow.number,
        replica=replica,
        incarnation=part.incarnation,
        inbox=part.inbox,
    )
    return ACCEPTED if done else REFUSED


async def _correlate(tx: Transaction, replica: str, part: Correlate) -> Changed:
    flow = part.flow
    if (
        await tx.first("owns", flow=flow.number, replica=replica, incarnation=part.incarnation)
        is None
    ):
        return REFUSED
    statement = "correlate_no_more" if part.remove else "correlate"
    await tx.change(statement, type=flow.type, correlation=part.correlation, flow=flow.number)
    return ACCEPTED
