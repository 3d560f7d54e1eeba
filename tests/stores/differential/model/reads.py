"""Rows of the model as what a reader is given."""

from __future__ import annotations

from collections.abc import Iterable

from tests.stores.differential.model.tables import REACHED, Age, FlowRow, Tables
from unbroken.model.records import Claimed, Effect, FlowRef, Message, Outcome, Status
from unbroken.stores.store import FlowView, Inbox, Place, Poll, Question


def outcome_of(flow: FlowRow) -> Outcome:
    """Say how a flow stands."""
    return Outcome(flow.ref, flow.status, flow.body, flow.type, flow.error)


def view_of(flow: FlowRow) -> FlowView:
    """Give a flow's row as a reader sees it."""
    return FlowView(
        flow.ref,
        flow.status,
        flow.owner,
        flow.due_at,
        flow.incarnation,
        flow.inbox,
        flow.version,
        flow.crashes,
        flow.created_at,
        flow.ended_at,
        flow.param,
        flow.cancel,
        flow.failures,
        flow.code,
        flow.error,
        flow.parents,
    )


def effects_of(tables: Tables, flow: int) -> tuple[Effect, ...]:
    """Give what a flow has recorded, in the order of keys."""
    return tuple(tables.effects[flow, key] for key in tables.keys_of(flow))


def pending_of(tables: Tables, flow: int) -> tuple[Message, ...]:
    """Give what waits in a flow's inbox, in the order of positions."""
    return tuple(mail.message for mail in tables.mails_of(flow) if mail.age is Age.PENDING)


def inbox_of(tables: Tables, flow: int) -> Inbox | None:
    """Give counter and unconsumed messages."""
    row = tables.flows.get(flow)
    return None if row is None else Inbox(row.inbox, pending_of(tables, flow))


def claimed(tables: Tables, replica: str, numbers: Iterable[int]) -> tuple[Claimed, ...]:
    """Give what the incarnations of flows need that the replica owns."""
    flows = [tables.flows[number] for number in numbers if number in tables.flows]
    return tuple(
        Claimed(
            flow.ref,
            flow.incarnation,
            flow.param,
            flow.inbox,
            flow.crashes,
            flow.parents,
            effects_of(tables, flow.ref.number),
            pending_of(tables, flow.ref.number),
            flow.failures,
            flow.code,
            flow.depth,
        )
        for flow in flows
        if flow.owner == replica
    )


def correlated(tables: Tables, type: str, correlation: str) -> tuple[FlowRef, ...]:
    """Find the flows that are reached by a correlation id, oldest first."""
    return tuple(
        flow.ref
        for number, flow in sorted(tables.flows.items())
        if (type, correlation, number) in tables.correlations and flow.status in REACHED
    )


def places_of(tables: Tables, queue: str) -> tuple[Place, ...]:
    """Give a queue: holders, then those who wait, in the order in which they came."""
    rows = [
        Place(tables.flows[number].ref, place.holds, place.since)
        for (name, number), place in tables.places.items()
        if name == queue
    ]
    return tuple(sorted(rows, key=lambda place: not place.holds))


def poll(
    tables: Tables,
    replica: str,
    types: Iterable[str],
    awaited: Iterable[int],
    asked: Iterable[Question],
) -> Poll:
    """Look for work."""
    flows, wanted, questions = tables.flows, set(types), tuple(asked)
    due = [f.due_at for f in flows.values() if f.ref.type in wanted and f.due_at is not None]
    mails = {(flow, mail.message.key): mail for (flow, _), mail in tables.mails.items()}
    found = [(question, mails.get((question.flow, question.key))) for question in questions]
    return Poll(
        tables.now,
        min(due, default=None),
        tuple(n for n, f in flows.items() if f.owner == replica and f.inbox > f.seen),
        tuple(
            outcome_of(flows[number])
            for number in awaited
            if number in flows and flows[number].status is not Status.LIVE
        ),
        tuple((question, mail.reply) for question, mail in found if mail and mail.reply),
        tuple(question for question, mail in found if mail is None),
    )
