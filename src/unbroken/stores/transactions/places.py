"""Places in the queues of locks and semaphores: taken at the tail, granted from the head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from unbroken.model.records import FlowRef
from unbroken.stores.batch import Answer, Appended, Changed, LeavePlace, NewMessage, TakePlace
from unbroken.stores.transactions.inboxes import tell
from unbroken.stores.transactions.transaction import Row, Transaction

GRANTED = "~granted"
NO_WORDS = "null"

Granted = tuple[tuple[Appended, NewMessage], ...]


async def change_queue(tx: Transaction, replica: str, part: TakePlace | LeavePlace) -> Changed:
    """Let a flow queue up or leave, and those hold a place whose turn it is then."""
    if isinstance(part, TakePlace):
        return await _take_place(tx, replica, part)
    return await _leave_place(tx, replica, part)


async def free_places(tx: Transaction, replica: str | None, flows: Sequence[int]) -> Granted:
    """Take flows out of every queue and let the next ones hold their places."""
    numbers = tx.array(flows)
    queues = [queue for (queue,) in await tx.all("queues_of", flows=numbers)]
    if not queues:
        return ()
    await tx.lock_queues(queues)
    await tx.change("delete_places", flows=numbers)
    return await grant(tx, replica, queues)


async def leave_with_effects(tx: Transaction, flow: int, keys: Sequence[str]) -> None:
    """Take a flow out of the queues whose effects, or what is above them, it forgets."""
    await _lock_queues_of(tx, (flow,))
    left = [
        queue for key in keys for (queue,) in await tx.all("leave_with_effect", flow=flow, key=key)
    ]
    await grant(tx, None, dict.fromkeys(left))


async def grant_to(tx: Transaction, flows: Sequence[int]) -> None:
    """Let flows that are live again hold a place, if it became their turn while they were not."""
    await grant(tx, None, await _lock_queues_of(tx, flows))


async def _lock_queues_of(tx: Transaction, flows: Sequence[int]) -> list[str]:
    queues = [queue for (queue,) in await tx.all("queues_of", flows=tx.array(flows))]
    if queues:
        await tx.lock_queues(queues)
    return queues


async def grant(tx: Transaction, replica: str | None, queues: Iterable[str]) -> Granted:
    """Give places from the head of each queue, as long as the limit of who stands there allows."""
    granted: list[tuple[Appended, NewMessage]] = []
    for queue in queues:
        full: Row | None = None
        while (head := await tx.first("next_in_queue", queue=queue)) and head != full:
            position, number, type_, id_, key = head
            if not await tx.change("grant", queue=queue, position=position, now=tx.now):
                # Who stands there still when it is looked at again was not parked in between.
                full = head
                continue
            message = NewMessage(key, GRANTED, NO_WORDS)
            told = await tell(tx, replica, FlowRef(number, type_, id_), message)
            granted.append((told, message))
    return tuple(granted)


async def _take_place(tx: Transaction, replica: str, part: TakePlace) -> Changed:
    if not await _owns(tx, replica, part.flow.number, part.incarnation):
        return Changed(Answer.REFUSED)
    is_new = await tx.change(
        "queue_up",
        queue=part.queue,
        flow=part.flow.number,
        key=part.key,
        most=part.limit,
        now=tx.now,
    )
    granted = await grant(tx, replica, (part.queue,)) if is_new else ()
    return Changed(Answer.ACCEPTED, granted=granted)


async def _leave_place(tx: Transaction, replica: str, part: LeavePlace) -> Changed:
    flow, incarnation = part.flow.number, part.incarnation
    if incarnation is not None and not await _owns(tx, replica, flow, incarnation):
        return Changed(Answer.REFUSED)
    if not await tx.change("leave_queue", flow=flow, queue=part.queue):
        return Changed(Answer.REFUSED)
    return Changed(Answer.ACCEPTED, granted=await grant(tx, replica, (part.queue,)))


async def _owns(tx: Transaction, replica: str, flow: int, incarnation: int) -> bool:
    row = await tx.first("owns", flow=flow, replica=replica, incarnation=incarnation)
    return row is not None
