"""Flows that are stored under a former name of their type: `@flow(name="new", aliases=["old"])`.

The name a flow was started under stays with it. A type without aliases costs no look.
"""

from __future__ import annotations

from unbroken.engine.engine import Engine
from unbroken.engine.flow_type import FlowType
from unbroken.model.records import Outcome


async def stored_type(engine: Engine, flow_type: FlowType, id: str) -> str:
    """Give the name under which a flow is stored; the present one if there is no such flow."""
    if not flow_type.aliases:
        return flow_type.name
    found = await find_flow(engine, flow_type, id)
    return flow_type.name if found is None else found.flow.type


async def find_flow(engine: Engine, flow_type: FlowType, id: str) -> Outcome | None:
    """Read how a flow stands, under whichever name it is stored; the present one comes first."""
    for name in (flow_type.name, *flow_type.aliases):
        found = await engine.find(name, id)
        if found is not None:
            return found
    return None
