"""Flows that begin with something: an initial state, another run after a failed one."""

from __future__ import annotations

from datetime import timedelta

from tests.crash.bodies import Refused, begun, once, received, saw, tally, touch, touch_once
from tests.crash.cases.case import AT_ONCE, SHORT, Case, Paid, Seen, Sent
from unbroken import InitialMessage, InitialState, Retry, capture, flow, gather, message

QUICK = Retry(5, initial_delay=timedelta(milliseconds=10), jitter=0)


async def shaky(value: str) -> str:
    """Fail once, over all processes; it says nothing to the ledger, for it runs again by design."""
    if tally("shaky") == 1:
        raise Refused(value)
    return f"{value}!"


@flow(retry=QUICK)
async def declared_retry(order: str) -> Seen:
    begun()
    seen = {"a": await saw("a", capture("a", touch, order))}
    seen["shaky"] = await capture("shaky", shaky, order)
    seen["b"] = await saw("b", capture("b", touch, seen["shaky"]))
    if tally("plain") == 1:
        raise Refused(order)
    seen["touch_once"] = await once("touch_once", touch_once(order))
    return seen


@flow(retry=QUICK)
async def retried_branches(order: str) -> Seen:
    begun()

    async def hears() -> str:
        return await received("message:Paid", message(Paid, suspend_after=AT_ONCE))

    async def fails() -> str:
        first = await saw("a", capture("a", touch, order))
        return await capture("shaky", shaky, first)

    heard, failed = await gather(hears(), fails())
    return {"heard": heard, "failed": failed, "b": await saw("b", capture("b", touch, order))}


@flow
async def restarted(order: str) -> Seen:
    begun()
    seen = {"a": await saw("a", capture("a", touch, order))}
    seen["shaky"] = await capture("shaky", shaky, order)
    seen["touch_once"] = await once("touch_once", touch_once(order))
    seen["b"] = await saw("b", capture("b", touch, seen["shaky"]))
    return seen


@flow
async def initial_state(order: str) -> Seen:
    begun()
    seen = {"given": await capture("given", touch, order)}
    try:
        seen["refused"] = await capture("refused", touch, order)
    except Refused as error:
        seen["refused"] = str(error)
    seen["touch_once"] = await once("touch_once", touch_once(order))
    seen["a"] = await saw("a", capture("a", touch, seen["given"]))
    seen["first"] = await received("message:Paid", message(Paid))
    second = message(Paid, timeout=1000 * SHORT)
    seen["second"] = await received("message:Paid#2", second, 1000 * SHORT)
    return seen


GIVEN = InitialState(
    effects={"given": "was given"},
    failed={"refused": Refused("was refused")},
    started=["touch_once"],
    messages=[InitialMessage(Paid("0"), "zero"), InitialMessage(Paid("0"), "zero")],
)

# A retry forgets the failed effect, which then runs again: a stored row is rewritten by design.
# That the others are not is seen by their bodies, which must not begin again.
FORGETS = ("stored_is_never_rewritten",)

CASES = {
    "declared_retry": Case(declared_retry, exempt=FORGETS),
    "retried_branches": Case(
        retried_branches,
        messages=(Sent(Paid("1"), "first", after="gather/1/a"),),
        exempt=FORGETS,
    ),
    # It has ended, and its user lets it run again.
    "restarted": Case(restarted, restarts=True, exempt=(*FORGETS, "ended_stays_ended")),
    "initial_state": Case(initial_state, initial=GIVEN, messages=(Sent(Paid("1"), "first"),)),
}

ORPHANS = {"declared_retry": "commit shaky", "initial_state": "end a"}
