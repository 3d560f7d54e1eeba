"""Inboxes: how messages get into them, and what that does to the flow's row."""

from __future__ import annotations

from collections.abc import Sequence

from tests.stores.differential.model.tables import REACHED, FlowRow, Mail, Tables
from unbroken.model.records import Delivery, FlowRef, Message, Status
from unbroken.stores.batch import Append, Appended, NewMessage


def append(tables: Tables, replica: str, part: Append) -> Appended:
    """Append messages to the flow of a type and id."""
    flow = tables.flow_of(part.type, part.id)
    if flow is None:
        return Appended((Delivery.NO_SUCH_FLOW,) * len(part.messages))
    return _deliver(tables, flow, replica, part.messages, cancels=part.cancels)


def tell(tables: Tables, replica: str | None, ref: FlowRef, message: NewMessage) -> Appended:
    """Append a message of the engine to a flow that is known by its number."""
    flow = tables.flows.get(ref.number)
    if flow is None:
        return Appended((Delivery.NO_SUCH_FLOW,))
    return _deliver(tables, flow, replica, (message,))


def insert(tables: Tables, flow: FlowRow, messages: Sequence[NewMessage]) -> list[int | None]:
    """Put messages at the last positions up to the counter; None stands for a duplicate.

    A key is known for as long as its message exists, consumed or not.
    """
    known = {mail.message.key for mail in tables.mails_of(flow.ref.number)}
    positions: list[int | None] = []
    for position, new in enumerate(messages, flow.inbox - len(messages) + 1):
        positions.append(None if new.key in known else position)
        if new.key not in known:
            known.add(new.key)
            message = Message(position, new.key, new.type, new.body, tables.now)
            tables.mails[flow.ref.number, position] = Mail(message)
    return positions


def _deliver(
    tables: Tables,
    flow: FlowRow,
    replica: str | None,
    messages: Sequence[NewMessage],
    *,
    cancels: bool = False,
) -> Appended:
    if flow.status not in REACHED:
        return Appended((Delivery.FLOW_ENDED,) * len(messages), flow=flow.ref)
    by_owner = flow.owner is not None and flow.owner == replica
    flow = tables.change(
        flow.ref.number,
        inbox=flow.inbox + len(messages),
        seen=flow.seen + len(messages) if by_owner else flow.seen,
        cancel=flow.cancel or cancels,
        due_at=_due(tables, flow, cancels=cancels),
    )
    positions = insert(tables, flow, messages)
    return Appended(
        tuple(Delivery.DUPLICATE if one is None else Delivery.ACCEPTED for one in positions),
        tuple(one for one in positions if one is not None),
        flow.ref,
        flow.owner,
    )


def _due(tables: Tables, flow: FlowRow, *, cancels: bool) -> int | None:
    """Say when a flow is due that has a message: never later than it was, if anybody may run it."""
    if flow.owner is not None or flow.status is Status.PARKED:
        return None
    due = tables.now if cancels else max(tables.now, flow.not_before)
    return due if flow.due_at is None else min(flow.due_at, due)
