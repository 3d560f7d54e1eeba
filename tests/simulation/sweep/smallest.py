"""Flows that do one thing each, so that every two operations can be struck."""

from __future__ import annotations

from tests.crash.bodies import begun, once, received, saw, slept, touch, touch_once
from tests.crash.cases.case import AT_ONCE, SHORT, Case, Paid, Seen, Sent
from tests.simulation.sweep.scenario import Scenario, of_case
from unbroken import capture, flow, message


@flow
async def one_capture(order: str) -> Seen:
    begun()
    return {"a": await saw("a", capture("a", touch, order))}


@flow
async def one_message(order: str) -> Seen:
    begun()
    return {"paid": await received("message:Paid", message(Paid, suspend_after=AT_ONCE))}


@flow
async def one_at_most_once(order: str) -> Seen:
    begun()
    return {"touch_once": await once("touch_once", touch_once(order))}


@flow
async def one_sleep(order: str) -> Seen:
    begun()
    await slept("sleep", SHORT, suspend_after=AT_ONCE)
    return {"slept": "yes"}


CASES = {
    "one_capture": Case(one_capture),
    "one_message": Case(one_message, messages=(Sent(Paid("1"), "first"),)),
    "one_at_most_once": Case(one_at_most_once),
    "one_sleep": Case(one_sleep),
}

SMALLEST: dict[str, Scenario] = {name: of_case(name, case) for name, case in CASES.items()}
