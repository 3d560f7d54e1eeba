"""Each kill is a deploy as well: whoever takes the flow over runs newer code."""

from __future__ import annotations

from tests.crash.bodies import begun, once, saw, slept, touch
from tests.crash.cases.case import AT_ONCE, SHORT, Case, Seen
from tests.crash.ledger import key_of_body, note
from unbroken import capture, current_flow, effect, flow, patched


async def send(value: str) -> str:
    """Do something outside; at most once, under two names."""
    note("begin", key_of_body(), once=True)
    note("end", key_of_body(), f"{value}!", once=True)
    return f"{value}!"


ship = effect(send, at_most_once=True, aliases=[])
deliver = effect(send, at_most_once=True, aliases=["ship"])


@flow(version=2)
async def deployed(order: str) -> Seen:
    begun()
    effects = current_flow().effects
    is_new = current_flow().incarnation > 1
    first = await saw("a", capture("a", touch, order))
    if is_new:
        has_shipped = effects.contains("ship") or effects.contains("ship.begun")
        name = "ship" if has_shipped else "deliver"
        tracking = await once(name, capture("deliver", deliver, order))
    else:
        tracking = await once("ship", capture("ship", ship, order))
    await slept("sleep", SHORT, suspend_after=AT_ONCE)
    way = await the_way(order) if is_new else "old"
    last = await saw("b", capture("b", touch, order))
    return {"a": first, "tracking": tracking, "way": way, "b": last}


async def the_way(order: str) -> str:
    """Decide for the new way or the old one, and fail if the answer is another one later."""
    way = "new" if patched("audit") else "old"
    recorded = await saw("way", capture("way", touch, way))
    if recorded != f"{way}!":
        raise AssertionError(f"{recorded} became {way}")
    if way == "new":
        await saw("audit", capture("audit", touch, order))
    return way


CASES = {"deployed": Case(deployed, volatile=("tracking", "way"))}

ORPHANS = {"deployed": "commit ship.begun"}
