"""Inboxes: how messages get into them, and what that does to the flow's row."""

from __future__ import annotations

from collections.abc import Sequence

from unbroken.model.records import Delivery, FlowRef
from unbroken.stores.batch import Append, Appended, NewMessage
from unbroken.stores.transactions.transaction import Row, Transaction


async def append(tx: Transaction, replica: str, part: Append) -> Appended:
    """Append messages to the flow of a type and id; a live flow without owner becomes due.

    A parked one finds them when it goes on.
    """
    count = len(part.messages)
    moved = await _move(tx, replica, part)
    if moved is None:
        row = await tx.first("number_of", type=part.type, id=part.id)
        if row is None:
            return Appended((Delivery.NO_SUCH_FLOW,) * count)
        # It has ended, or it came between the two statements.
        moved = await _move(tx, replica, part)
        if moved is None:
            flow = FlowRef(row[0], part.type, part.id)
            return Appended((Delivery.FLOW_ENDED,) * count, flow=flow)
    number, inbox, owner = moved
    flow = FlowRef(number, part.type, part.id)
    return await _appended(tx, flow, inbox, owner, part.messages)


async def _move(tx: Transaction, replica: str, part: Append) -> Row | None:
    return await tx.first(
        "append",
        type=part.type,
        id=part.id,
        replica=replica,
        count=len(part.messages),
        cancels=part.cancels,
        now=tx.now,
    )


async def tell(
    tx: Transaction, replica: str | None, flow: FlowRef, message: NewMessage
) -> Appended:
    """Append a message of the engine to a flow that is known by its number.

    `replica` is who writes, whose own flows need not be reported as moved; None is nobody.
    """
    moved = await tx.first(
        "append_by_number", flow=flow.number, replica=replica, count=1, now=tx.now
    )
    if moved is not None:
        _, inbox, owner = moved
        return await _appended(tx, flow, inbox, owner, (message,))
    if await tx.first("ref_of", flow=flow.number) is None:
        return Appended((Delivery.NO_SUCH_FLOW,))
    return Appended((Delivery.FLOW_ENDED,), flow=flow)


async def insert_messages(
    tx: Transaction, flow: int, counter: int, messages: Sequence[NewMessage]
) -> list[int | None]:
    """Insert messages at the last positions up to the counter; None stands for a duplicate."""
    positions: list[int | None] = []
    for position, message in enumerate(messages, counter - len(messages) + 1):
        inserted = await tx.change(
            "insert_message",
            flow=flow,
            position=position,
            key=message.key,
            type=message.type,
            body=message.body,
            now=tx.now,
        )
        positions.append(position if inserted else None)
    return positions


async def _appended(
    tx: Transaction,
    flow: FlowRef,
    counter: int,
    owner: str | None,
    messages: Sequence[NewMessage],
) -> Appended:
    positions = await insert_messages(tx, flow.number, counter, messages)
    return Appended(
        tuple(Delivery.DUPLICATE if p is None else Delivery.ACCEPTED for p in positions),
        tuple(p for p in positions if p is not None),
        flow,
        owner,
    )
