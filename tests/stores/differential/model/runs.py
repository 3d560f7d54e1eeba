"""How a run of a flow ends, for good or for now, and what else its owner says of it."""

from __future__ import annotations

from msgspec.structs import replace

from tests.stores.differential.model.inboxes import append, tell
from tests.stores.differential.model.queues import Granted, free_places, leave_place, take_place
from tests.stores.differential.model.tables import Age, FlowRow, Tables
from unbroken.model.records import Status
from unbroken.stores.batch import (
    Acknowledge,
    Answer,
    Append,
    Appended,
    Change,
    Changed,
    Continue,
    Correlate,
    End,
    LeavePlace,
    NewMessage,
    Release,
    Retry,
    Suspend,
    TakePlace,
)

ACCEPTED = Changed(Answer.ACCEPTED)
REFUSED = Changed(Answer.REFUSED)
CANCEL = "~cancel"


def change(tables: Tables, replica: str, part: Change) -> Changed | Appended:
    """Apply one change and say what became of it."""
    match part:
        case Append():
            return append(tables, replica, part)
        case TakePlace():
            return take_place(tables, replica, part)
        case LeavePlace():
            return leave_place(tables, replica, part)
        case _:
            flow = tables.owned_flow(part.flow.number, replica, part.incarnation)
            return REFUSED if flow is None else _change_owned(tables, replica, flow, part)


def _change_owned(
    tables: Tables,
    replica: str,
    flow: FlowRow,
    part: Suspend | Release | End | Retry | Continue | Correlate | Acknowledge,
) -> Changed:
    match part:
        case Suspend():
            return _suspend(tables, flow, part)
        case Release():
            tables.change(flow.ref.number, owner=None, due_at=tables.now)
            return ACCEPTED
        case Acknowledge(inbox=inbox):
            tables.change(flow.ref.number, seen=min(flow.inbox, max(flow.seen, inbox)))
            return ACCEPTED
        case Correlate():
            return _correlate(tables, part)
        case End():
            return _end(tables, replica, flow, part)
        case Retry():
            return _retry(tables, replica, flow, part)
        case Continue():
            return _go_on_anew(tables, replica, flow, part)


def _moved(flow: FlowRow) -> Changed:
    return Changed(Answer.MOVED, flow.inbox, flow.cancel, flow.parents)


def _suspend(tables: Tables, flow: FlowRow, part: Suspend) -> Changed:
    if flow.inbox != part.seen:
        return _moved(flow)
    tables.change(flow.ref.number, owner=None, due_at=part.due_at, crashes=0)
    return ACCEPTED


def _correlate(tables: Tables, part: Correlate) -> Changed:
    row = (part.flow.type, part.correlation, part.flow.number)
    if part.remove:
        tables.correlations.discard(row)
    else:
        tables.correlations.add(row)
    return ACCEPTED


def _end(tables: Tables, replica: str, flow: FlowRow, part: End) -> Changed:
    number = flow.ref.number
    is_parked = part.status is Status.PARKED
    unknown = set(part.parents) != set(flow.parents) and not is_parked
    if unknown or (flow.cancel and part.status is Status.DONE):
        return _moved(flow)
    tables.change(
        number,
        status=part.status,
        owner=None,
        due_at=None,
        ended_at=tables.now,
        body=part.body,
        type=part.type,
        error=part.error,
        crashes=0,
        failed_at=part.failed_at,
        mendable=part.mendable and is_parked,
    )
    if is_parked:
        return ACCEPTED
    tables.mark(number, part.restores, Age.PENDING)
    told: tuple[Appended, ...] = ()
    if news := part.told:
        told = tuple(
            tell(tables, replica, parent.flow, NewMessage(parent.key, news.type, news.body))
            for parent in part.parents
        )
    return replace(ACCEPTED, told=told, granted=_freed(tables, replica, flow, frees=part.frees))


def _retry(tables: Tables, replica: str, flow: FlowRow, part: Retry) -> Changed:
    number = flow.ref.number
    if flow.cancel:
        return _moved(flow)
    tables.change(
        number,
        owner=None,
        due_at=part.due_at,
        not_before=part.due_at,
        error=part.error,
        crashes=0,
        failures=flow.failures + 1,
    )
    for key in part.forgets:
        tables.forget_with_all_beneath(number, key)
    tables.mark(number, part.restores, Age.PENDING)
    return replace(ACCEPTED, granted=_freed(tables, replica, flow, frees=part.frees))


def _go_on_anew(tables: Tables, replica: str, flow: FlowRow, part: Continue) -> Changed:
    number = flow.ref.number
    if flow.cancel:
        return _moved(flow)
    tables.change(
        number,
        param=part.param,
        code=part.code,
        incarnation=flow.incarnation + 1,
        error=None,
        failures=0,
        crashes=0,
    )
    tables.forget(number, *tables.keys_of(number))
    for mail in tables.mails_of(number):
        key = mail.message.key
        of_engine = key.startswith("~") and key != CANCEL
        if of_engine or mail.age is Age.OLD:
            tables.drop_mails(number, mail)
        elif mail.age is Age.CONSUMED:
            tables.mark(number, (mail.message.position,), Age.OLD)
    return replace(ACCEPTED, granted=_freed(tables, replica, flow, frees=part.frees))


def _freed(tables: Tables, replica: str, flow: FlowRow, *, frees: bool) -> Granted:
    return free_places(tables, replica, (flow.ref.number,)) if frees else ()
