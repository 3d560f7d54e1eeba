"""Cancels, time-outs, sagas, and flows that continue as new."""

from __future__ import annotations

from contextlib import suppress

from tests.crash.bodies import begun, received, refuse, saw, slept, touch
from tests.crash.cases.case import AT_ONCE, LONG, SHORT, Case, Never, Paid, Seen, Sent
from unbroken import FlowCancelled, capture, flow, message, saga, sleep


@flow
async def cancelled(order: str) -> Seen:
    begun()
    await saw("a", capture("a", touch, order))
    try:
        await message(Never)
    except FlowCancelled:
        await saw("undo", capture("undo", touch, order))
        await slept("sleep", SHORT)
        await saw("undone", capture("undone", touch, order))
        raise
    return {}


@flow
async def cancelled_child(order: str) -> str:
    begun()
    await saw("c", capture("c", touch, order))
    try:
        await sleep(LONG)
    except FlowCancelled:
        await saw("undo", capture("undo", touch, order))
        raise
    return "?"


@flow
async def cancelled_parent(order: str) -> Seen:
    begun()
    await saw("a", capture("a", touch, order))
    scheduled = await cancelled_child.schedule("child", order)
    await saw("b", capture("b", touch, order))
    try:
        await scheduled.completion()
    except FlowCancelled:
        await saw("undo", capture("undo", touch, order))
        with suppress(FlowCancelled):  # the child's: whoever uses this flow stops when it ends
            await cancelled_child.run("child", order)
        raise
    return {}


@flow(timeout=SHORT)
async def timed_out(order: str) -> Seen:
    begun()
    await saw("a", capture("a", touch, order))
    await sleep(LONG)
    return {}


async def _booked(order: str) -> None:
    async with saga() as way_back:
        way_back.undo(touch, f"hotel of {order}")
        await saw("hotel", capture("hotel", touch, order))
        way_back.undo("flight back", touch, f"flight of {order}")
        await saw("flight", capture("flight", touch, order))
        await saw("car", capture("car", refuse, order))


@flow
async def saga_failed(order: str) -> Seen:
    begun()
    await saw("before", capture("before", touch, order))
    await _booked(order)
    return {}


@flow
async def saga_caught(order: str) -> Seen:
    begun()
    try:
        await _booked(order)
    except Exception as error:
        why = type(error).__name__
    return {"why": why, "after": await saw("after", capture("after", touch, order))}


@flow
async def saga_cancelled(order: str) -> Seen:
    begun()
    async with saga() as way_back:
        way_back.undo(touch, f"hotel of {order}")
        await saw("hotel", capture("hotel", touch, order))
        await message(Never)
    return {}


@flow
async def continues(order: str, run: int = 0) -> Seen:
    begun()
    done = await saw(f"run {run}", capture(f"run {run}", touch, order))
    if run == 1:
        await received("message:Paid", message(Paid))
    if run < 2:
        await continues.continue_as_new(order, run + 1)
    return {"last": done}


CASES = {
    "cancelled": Case(cancelled, cancelled_after="a"),
    "cancelled_suspended": Case(cancelled, cancelled_after="a", suspend_after=AT_ONCE),
    "cancelled_parent": Case(cancelled_parent, children=(cancelled_child,), cancelled_after="b"),
    "timed_out": Case(timed_out),
    "saga_failed": Case(saga_failed),
    "saga_caught": Case(saga_caught),
    "saga_cancelled": Case(saga_cancelled, cancelled_after="saga/hotel", suspend_after=AT_ONCE),
    "continues": Case(
        continues,
        messages=(Sent(Paid("1"), "first"),),
        # Its journal is emptied with each run, and what was consumed two runs ago is forgotten.
        exempt=(
            "stored_is_never_rewritten",
            "lost_part_is_a_suffix",
            "accepted_is_stored",
            "stored_consumption_agrees",
        ),
    ),
}

ORPHANS = {
    "cancelled_suspended": "commit message:Never.cancel",
    "saga_failed": "commit saga/undo:flight back",
}
