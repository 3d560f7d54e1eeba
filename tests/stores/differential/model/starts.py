"""Starts: a flow is created, with all that is there before its first line, or attached to."""

from __future__ import annotations

from msgspec.structs import replace

from tests.stores.differential.model.inboxes import insert
from tests.stores.differential.model.reads import outcome_of
from tests.stores.differential.model.tables import REACHED, FlowRow, Tables
from unbroken.model.records import FlowRef, Parent, Status
from unbroken.stores.batch import Start, Started


def start(tables: Tables, replica: str, new: Start) -> Started:
    """Attach to the first flow that has the id, under the type or an alias, or create one."""
    for name in (new.type, *new.aliases):
        if found := tables.flow_of(name, new.id):
            return _attach(tables, found, new)
    return Started(_create(tables, replica, new).ref, created=True)


def _attach(tables: Tables, flow: FlowRow, new: Start) -> Started:
    parent, is_open = new.parent, flow.status in REACHED
    if is_open and parent is not None and parent not in flow.parents:
        tables.change(flow.ref.number, parents=(*flow.parents, parent))
    outcome = None if flow.status is Status.LIVE else outcome_of(flow)
    return Started(flow.ref, created=False, same_param=flow.param == new.param, outcome=outcome)


def _create(tables: Tables, replica: str, new: Start) -> FlowRow:
    number = tables.freedom.number(tables.last_number, tables.flows.keys())
    due_at = tables.now if new.due_at is None else new.due_at
    parents: tuple[Parent, ...] = () if new.parent is None else (new.parent,)
    flow = FlowRow(
        FlowRef(number, new.type, new.id),
        new.param,
        tables.now,
        owner=replica if new.owned else None,
        due_at=None if new.owned else due_at,
        not_before=0 if new.owned else due_at,
        incarnation=1 if new.owned else 0,
        inbox=len(new.messages),
        seen=len(new.messages) if new.owned else 0,
        code=new.code,
        depth=new.depth,
        parents=parents,
    )
    tables.flows[number] = flow
    for effect in new.effects:
        # Of no incarnation: it is no progress of any.
        tables.effects.setdefault((number, effect.key), replace(effect, incarnation=0))
    insert(tables, flow, new.messages)
    return flow
