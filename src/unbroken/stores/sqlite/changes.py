"""The parts of a batch that change flow rows, each as a function of an open transaction."""

from __future__ import annotations

from unbroken.model.records import Delivery, FlowRef, Outcome, Parent, Status
from unbroken.stores.batch import (
    Acknowledge,
    Answer,
    Append,
    Appended,
    Change,
    Changed,
    End,
    NewMessage,
    Release,
    Start,
    Started,
    Suspend,
)
from unbroken.stores.sqlite.connection import Transaction
from unbroken.stores.sqlite.faults import DamagedRow
from unbroken.stores.sqlite.reads import find
from unbroken.stores.sqlite.rows import NO_PARENTS, UNREADABLE, Row, decode_parents, encode_parents

REFUSED = Changed(Answer.REFUSED)
ACCEPTED = Changed(Answer.ACCEPTED)


def start(tx: Transaction, replica: str, new: Start) -> Started:
    """Create a flow or attach to the one that has its id."""
    number = tx.insert(
        "create_flow",
        type=new.type,
        id=new.id,
        owner=replica if new.owned else None,
        due_at=None if new.owned else tx.now if new.due_at is None else new.due_at,
        incarnation=1 if new.owned else 0,
        param=new.param,
        parents=encode_parents((new.parent,)) if new.parent else NO_PARENTS,
        now=tx.now,
    )
    if number is not None:
        return Started(FlowRef(number, new.type, new.id), created=True)
    return _attach(tx, new)


def _attach(tx: Transaction, new: Start) -> Started:
    row = tx.first("attachable", type=new.type, id=new.id, param=new.param)
    assert row is not None, "the id was taken a statement ago"
    number, same_param, is_live, parents = row
    flow = FlowRef(number, new.type, new.id)
    outcome: Outcome | None = None
    try:
        if is_live and new.parent is not None:
            _join(tx, number, parents, new.parent)
        elif not is_live:
            outcome = find(tx, new.type, new.id)
    except DamagedRow:
        if is_live:
            park(tx, number, UNREADABLE)
        outcome = Outcome(flow, Status.PARKED, error=UNREADABLE)
    return Started(flow, created=False, same_param=same_param == 1, outcome=outcome)


def _join(tx: Transaction, flow: int, stored: str, parent: Parent) -> None:
    parents = decode_parents(stored)
    if parent not in parents:
        tx.change("join_parents", flow=flow, parents=encode_parents((*parents, parent)))


def change(tx: Transaction, replica: str, part: Change) -> Changed | Appended:
    """Apply one change and say what became of it."""
    match part:
        case Append():
            return _append(tx, replica, part)
        case Suspend():
            return _suspend(tx, replica, part)
        case End():
            return _end(tx, replica, part)
        case Release(flow, incarnation):
            done = tx.change(
                "release", flow=flow.number, replica=replica, incarnation=incarnation, now=tx.now
            )
            return ACCEPTED if done else REFUSED
        case Acknowledge(flow, incarnation, inbox):
            done = tx.change(
                "acknowledge",
                flow=flow.number,
                replica=replica,
                incarnation=incarnation,
                inbox=inbox,
            )
            return ACCEPTED if done else REFUSED


def park(tx: Transaction, flow: int, error: str) -> FlowRef:
    """Stop a flow until an operator restarts it."""
    row = tx.first("park", flow=flow, error=error, now=tx.now)
    assert row is not None
    return FlowRef(*row)


def _append(tx: Transaction, replica: str, part: Append) -> Appended:
    count = len(part.messages)
    moved = tx.first("append", type=part.type, id=part.id, replica=replica, count=count, now=tx.now)
    if moved is not None:
        return _insert(tx, FlowRef(moved[0], part.type, part.id), moved, part.messages)
    row = tx.first("number_of", type=part.type, id=part.id)
    if row is None:
        return Appended((Delivery.NO_SUCH_FLOW,) * count)
    flow = FlowRef(row[0], part.type, part.id)
    return Appended((Delivery.FLOW_ENDED,) * count, flow=flow)


def _tell(tx: Transaction, replica: str, parent: Parent, told: NewMessage) -> Appended:
    flow = parent.flow
    moved = tx.first("append_by_number", flow=flow.number, replica=replica, count=1, now=tx.now)
    if moved is not None:
        message = NewMessage(parent.key, told.type, told.body)
        return _insert(tx, flow, moved, (message,))
    if tx.first("ref_of", flow=flow.number) is None:
        return Appended((Delivery.NO_SUCH_FLOW,))
    return Appended((Delivery.FLOW_ENDED,), flow=flow)


def _insert(
    tx: Transaction, flow: FlowRef, moved: Row, messages: tuple[NewMessage, ...]
) -> Appended:
    """Insert messages at the positions that the row's change gave them."""
    number, inbox, owner = moved
    deliveries: list[Delivery] = []
    positions: list[int] = []
    for position, message in enumerate(messages, inbox - len(messages) + 1):
        inserted = tx.change(
            "insert_message",
            flow=number,
            position=position,
            key=message.key,
            type=message.type,
            body=message.body,
            now=tx.now,
        )
        deliveries.append(Delivery.ACCEPTED if inserted else Delivery.DUPLICATE)
        if inserted:
            positions.append(position)
    return Appended(tuple(deliveries), tuple(positions), flow, owner)


def _suspend(tx: Transaction, replica: str, part: Suspend) -> Changed:
    done = tx.change(
        "suspend",
        flow=part.flow.number,
        replica=replica,
        incarnation=part.incarnation,
        seen=part.seen,
        due_at=part.due_at,
    )
    return ACCEPTED if done else _what_moved(tx, replica, part.flow.number, part.incarnation)


def _what_moved(tx: Transaction, replica: str, flow: int, incarnation: int) -> Changed:
    """Tell an owner what it did not know; who is not the owner is refused."""
    row = tx.first("what_moved", flow=flow, replica=replica, incarnation=incarnation)
    if row is None:
        return REFUSED
    inbox, cancel, parents = row
    try:
        known = decode_parents(parents)
    except DamagedRow:
        park(tx, flow, UNREADABLE)
        return REFUSED
    return Changed(Answer.MOVED, inbox, cancel == 1, known)


def _end(tx: Transaction, replica: str, part: End) -> Changed:
    if not _end_row(tx, replica, part, part.parents):
        moved = _what_moved(tx, replica, part.flow.number, part.incarnation)
        if moved.answer is Answer.REFUSED or set(moved.parents) != set(part.parents):
            return moved
        # The same parents in another order are the same parents.
        if not _end_row(tx, replica, part, moved.parents):
            return moved
    if part.told is None or part.status is Status.PARKED:
        return ACCEPTED
    told = tuple(_tell(tx, replica, parent, part.told) for parent in part.parents)
    return Changed(Answer.ACCEPTED, told=told)


def _end_row(tx: Transaction, replica: str, part: End, parents: tuple[Parent, ...]) -> bool:
    changed = tx.change(
        "end_flow",
        flow=part.flow.number,
        replica=replica,
        incarnation=part.incarnation,
        status=part.status.value,
        result=part.body,
        result_type=part.type,
        error=part.error,
        parents=encode_parents(parents),
        now=tx.now,
    )
    return changed == 1
