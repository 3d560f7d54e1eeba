"""Locks, semaphores and correlation ids. One block of each flow is called guarded: it holds "x"."""

from __future__ import annotations

from contextlib import suppress

from tests.crash.bodies import Refused, begun, received, refuse, saw, slept, touch
from tests.crash.cases.case import AT_ONCE, LONG, SHORT, Case, Paid, Seen, Sent
from unbroken import (
    FlowCancelled,
    capture,
    correlate,
    current_flow,
    flow,
    gather,
    lock,
    message,
    semaphore,
    sleep,
    uncorrelate,
)


async def guarded(order: str) -> str:
    async with lock("x", suspend_after=AT_ONCE):
        first = await saw("guarded 1", capture("guarded 1", touch, order))
        await slept("sleep", SHORT, suspend_after=AT_ONCE)
        return await saw("guarded 2", capture("guarded 2", touch, first))


@flow
async def rival(order: str) -> str:
    begun()
    return await guarded(order)


@flow
async def locks(order: str) -> Seen:
    begun()
    me = current_flow().id
    rivals = [await rival.schedule(f"{me}/{number}", order) for number in (1, 2)]
    async with lock("x"):
        seen = {"1": await saw("guarded 1", capture("guarded 1", touch, order))}
        async with lock("x"):
            await slept("sleep", SHORT, suspend_after=AT_ONCE)
        seen["2"] = await saw("guarded 2", capture("guarded 2", touch, order))
    for number, scheduled in enumerate(rivals):
        seen[f"rival {number}"] = await scheduled.completion()
    return seen


@flow
async def hurried_locks(order: str) -> Seen:
    begun()
    scheduled = await rival.schedule(f"{current_flow().id}/1", order)
    for _ in range(3):
        try:
            async with lock("x", timeout=SHORT / 2):
                await sleep(SHORT / 3)
        except TimeoutError:
            pass
    seen = {"x": await guarded(order)}
    async with semaphore("printers", 2, timeout=LONG):
        seen["b"] = await saw("b", capture("b", touch, order))
    seen["rival"] = await scheduled.completion()
    return seen


@flow
async def cut_locks(order: str) -> Seen:
    begun()
    scheduled = await rival.schedule(f"{current_flow().id}/1", order)

    async def wait_in_line() -> None:
        async with lock("x"):
            await sleep(LONG)

    async def fail() -> None:
        await slept("sleep", SHORT)
        await saw("no", capture("no", refuse, order))

    try:
        await gather(wait_in_line(), fail())
    except Refused as error:
        why = str(error)
    return {"why": why, "x": await guarded(order), "rival": await scheduled.completion()}


@flow
async def cancelled_locks(order: str) -> Seen:
    begun()
    me = current_flow().id
    rivals = [await rival.schedule(f"{me}/{number}", order) for number in (1, 2)]
    try:
        async with lock("x"):
            await saw("in", capture("in", touch, order))
            await sleep(LONG)
    except FlowCancelled:
        for scheduled in rivals:  # cancelled too: in the queue, behind the lock or at their end
            with suppress(FlowCancelled):
                await scheduled.completion()
        raise
    return {}


@flow
async def correlations(order: str) -> Seen:
    begun()
    await correlate(order)
    await correlate("another")
    seen = {"paid": await received("message:Paid", message(Paid))}
    await uncorrelate(order)
    seen["a"] = await saw("a", capture("a", touch, order))
    return seen


CASES = {
    "locks": Case(locks, children=(rival,)),
    "locks_suspended": Case(locks, children=(rival,), suspend_after=AT_ONCE),
    "hurried_locks": Case(hurried_locks, children=(rival,)),
    "cut_locks": Case(cut_locks, children=(rival,)),
    "cancelled_locks": Case(cancelled_locks, children=(rival,), cancelled_after="in"),
    "correlations": Case(correlations, messages=(Sent(Paid("1"), "first"),)),
}

ORPHANS = {"locks": "end guarded 2", "cancelled_locks": "end in"}
