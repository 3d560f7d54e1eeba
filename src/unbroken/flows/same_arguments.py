"""Whether a start meant the same as the one that made the flow: by value, not by stored text.

The text of a set follows the hash seed of its process, and code that has grown a parameter writes
more than older code did.
"""

from __future__ import annotations

from unbroken.engine.engine import Engine
from unbroken.engine.flow_type import FlowType
from unbroken.model.records import FlowRef


async def mean_the_same(engine: Engine, flow_type: FlowType, flow: FlowRef, param: str) -> bool:
    """Compare encoded arguments with those of a stored flow; unreadable ones are not the same."""
    try:
        view = await engine.services.store.view(flow.type, flow.id)
        return view is None or flow_type.decode(view.param) == flow_type.decode(param)
    except Exception:  # noqa: BLE001  the store may be away, users' classes compare as they like
        return False
