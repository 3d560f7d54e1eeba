"""What operators do to flows that nobody runs, and what retention does to those that have ended."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tests.stores.differential.model.queues import free_places, grant_to, leave_with_effects
from tests.stores.differential.model.runs import CANCEL
from tests.stores.differential.model.tables import Age, FlowRow, Tables
from unbroken.model.records import Kind, Status
from unbroken.stores.store import Amendment

UNTOLD = (Status.LIVE, Status.PARKED)


def amend(tables: Tables, number: int, version: int, amendment: Amendment) -> bool:
    """Change a flow that nobody owns and that was not moved."""
    flow = tables.flows.get(number)
    if flow is None or flow.version != version or flow.owner is not None:
        return False
    param = flow.param if amendment.param is None else amendment.param
    tables.change(number, param=param)
    for key in amendment.forgets:
        tables.forget_with_all_beneath(number, key)
    leave_with_effects(tables, number, amendment.forgets)
    if amendment.restarts:
        _restart(tables, flow)
    return True


def mend(tables: Tables, types: Sequence[str]) -> int:
    """Let flows that were parked as mendable try again: live and due now."""
    mended = [n for n, f in tables.flows.items() if f.mendable and f.ref.type in types]
    for number in mended:
        tables.change(
            number,
            status=Status.LIVE,
            due_at=tables.now,
            not_before=0,
            ended_at=None,
            error=None,
            crashes=0,
            mendable=False,
        )
    grant_to(tables, mended)
    return len(mended)


def delete_ended(tables: Tables, before: int, limit: int) -> int:
    """Delete flows that are done, from the one on that ended first."""
    done = [
        flow
        for flow in tables.flows.values()
        if flow.status is Status.DONE and flow.ended_at is not None and flow.ended_at < before
    ]
    chosen: list[FlowRow] = []
    while done and len(chosen) < limit:
        first = min(flow.ended_at or 0 for flow in done)
        equals = [flow for flow in done if flow.ended_at == first]
        is_free = len(chosen) + len(equals) > limit
        flow = equals[tables.freedom.pick(len(equals)) if is_free else 0]
        chosen.append(flow)
        done.remove(flow)
    delete(tables, [flow.ref.number for flow in chosen])
    return len(chosen)


def delete_flow(tables: Tables, type: str, id: str) -> bool:
    """Delete one flow that has ended or is parked."""
    flow = tables.flow_of(type, id)
    if flow is None or flow.status is Status.LIVE:
        return False
    delete(tables, [flow.ref.number])
    return True


def delete(tables: Tables, numbers: Sequence[int]) -> None:
    """Delete flows with all that is theirs; who waits for their places is told."""
    free_places(tables, None, numbers)
    for number in numbers:
        del tables.flows[number]
        tables.forget(number, *tables.keys_of(number))
        tables.drop_mails(number, *tables.mails_of(number))
        tables.states.pop(number, None)
    tables.correlations -= {row for row in tables.correlations if row[2] in numbers}


def _restart(tables: Tables, before: FlowRow) -> None:
    number = before.ref.number
    if before.status not in UNTOLD:
        _take_back_what_was_told(tables, before)
    keys = [key for key in before.failed_at if (number, f"{key}.begun") not in tables.effects]
    for key in keys:
        tables.forget_with_all_beneath(number, key)
    tables.flows[number] = replace(
        tables.flows[number],
        status=Status.LIVE,
        due_at=tables.now,
        not_before=0,
        ended_at=None,
        body=None,
        type=None,
        error=None,
        failures=0,
        crashes=0,
        cancel=False,
        failed_at=(),
        mendable=False,
    )
    cancels = [mail for mail in tables.mails_of(number) if mail.message.key == CANCEL]
    tables.drop_mails(number, *cancels)
    tables.forget(
        number,
        *(k for k in tables.keys_of(number) if tables.effects[number, k].kind == Kind.CANCEL),
    )
    grant_to(tables, (number,))


def _take_back_what_was_told(tables: Tables, flow: FlowRow) -> None:
    """A parent that has not consumed the news yet waits for the later end instead."""
    for parent in flow.parents:
        for mail in tables.mails_of(parent.flow.number):
            if mail.message.key == parent.key and mail.age is Age.PENDING:
                tables.drop_mails(parent.flow.number, mail)
