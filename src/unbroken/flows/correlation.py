"""`correlate`, `uncorrelate`: be reached under an id that is not the flow's own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from unbroken.engine.correlating import change_correlation, find_correlated
from unbroken.engine.engine import Engine
from unbroken.engine.flow_type import FlowType
from unbroken.engine.scope import scope_for_wait
from unbroken.flows.messages import to_message
from unbroken.model.ids import as_name, check_id
from unbroken.model.records import Delivery

CORRELATION = "correlation id"


def correlate(correlation: str, /) -> Coroutine[object, object, None]:
    """Let this flow be reached by `orders.route_message(message, correlation)`, until it ends.

    Registered once, however often the flow is run, by the flow and not by one of its branches. A
    flow may have many correlation ids, and many flows the same one. It also holds after
    `continue_as_new`. Raises InvalidId for what is no id.
    """
    return _change("correlate", correlation, remove=False)


def uncorrelate(correlation: str, /) -> Coroutine[object, object, None]:
    """Let this flow be reached by a correlation id no more; nothing happens if it was not."""
    return _change("uncorrelate", correlation, remove=True)


def _change(verb: str, correlation: str, *, remove: bool) -> Coroutine[object, object, None]:
    check_id(correlation, CORRELATION)
    scope = scope_for_wait(f"{verb}(…)")
    key = scope.take(f"{verb}:{as_name(correlation)}", explicit=True)
    scope.incarnation.promise(key)
    return change_correlation(scope, key, correlation, remove=remove)


async def route(
    engine: Engine, flow_type: FlowType, message: object, correlation: str, key: str | None
) -> list[Delivery]:
    """Send one message to every flow of a type that registered a correlation id."""
    new = to_message(engine, message, key)
    types = (flow_type.name, *flow_type.aliases)
    check_id(correlation, CORRELATION)
    flows = await find_correlated(engine.services, types, correlation)
    answers = await asyncio.gather(*(engine.append(flow.type, flow.id, [new]) for flow in flows))
    return [deliveries[0] for deliveries in answers]
