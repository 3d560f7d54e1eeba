"""`gather`: branches side by side, each with names of its own, joined and remembered."""

import asyncio
from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, row, stored_effects
from unbroken import FlowFailed, capture, flow, gather, message, sleep
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)
PAST_LEASE = LEASE + timedelta(seconds=5)


async def test_all_branches_of_a_gather_are_remembered(apps: Apps, clock: VirtualClock) -> None:
    ran: list[str] = []

    async def call(name: str) -> str:
        ran.append(name)
        return name.upper()

    @flow
    async def both() -> tuple[str, str]:
        results = await gather(capture(call, "a"), capture(call, "b"))
        await sleep(HOUR)
        return results

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(both)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == ("A", "B")
    assert sorted(ran) == ["a", "b"]


async def test_branches_run_side_by_side_with_names_of_their_own(apps: Apps) -> None:
    running, most = 0, 0
    both_run = asyncio.Event()

    async def call(name: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            both_run.set()
        await both_run.wait()
        running -= 1
        return name

    async def branch(name: str) -> str:
        return await capture(call, name) + await capture("again", lambda: name)

    @flow
    async def both() -> tuple[str, str]:
        return await gather(branch("a"), branch("b"))

    app = apps()
    flows = app.register(both)
    async with app:
        assert await flows.run("x") == ("aa", "bb")
        assert stored_effects(app, "x").keys() == {
            "gather/0/call",
            "gather/0/again",
            "gather/1/call",
            "gather/1/again",
        }
    assert most == 2


async def test_a_crash_in_one_branch_repeats_only_what_was_not_done(shared: Apps) -> None:
    gate, ran = Gate(), []

    async def call(name: str) -> str:
        ran.append(name)
        if name == "slow" and ran.count("slow") == 1:
            await gate.pass_through()
        return name

    @flow
    async def both() -> tuple[str, str]:
        return await gather(capture(call, "fast"), capture(call, "slow"))

    hung, hung_flows = await shared.hang(both)
    await hung_flows.schedule("a")
    await gate.reached()
    while len(stored_effects(hung, "a")) < 1:
        await asyncio.to_thread(lambda: None)
    other = shared()
    flows = other.register(both)
    async with other:
        await shared.clock.advance(PAST_LEASE)
        assert await flows.completion("a") == ("fast", "slow")
    assert sorted(ran) == ["fast", "slow", "slow"]


async def test_a_failed_branch_fails_the_gather_and_cancels_the_others(apps: Apps) -> None:
    gate, cancelled = Gate(), []

    async def stand() -> None:
        try:
            await gate.pass_through()
        except asyncio.CancelledError:
            cancelled.append("stand")
            raise

    async def fail_then() -> None:
        await gate.reached()
        raise OSError("disk")

    @flow
    async def both() -> None:
        await gather(capture(stand), capture(fail_then))

    app = apps()
    flows = app.register(both)
    async with app:
        with pytest.raises(FlowFailed, match="OSError: disk"):
            await flows.run("a")
    assert cancelled == ["stand"]


async def test_a_gather_that_waits_does_not_let_a_flow_leave_under_an_effect_of_a_task(
    apps: Apps, clock: VirtualClock
) -> None:
    gate, ran = Gate(), []

    async def slow() -> str:
        ran.append("slow")
        await gate.pass_through()
        return "slow"

    @flow
    async def both() -> list[str]:
        beside = asyncio.create_task(capture("slow", slow))
        (text,) = await gather(message(str))
        return [text, await beside]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(both)
    async with app:
        await flows.schedule("a")
        await gate.reached()
        for _ in range(100):
            await asyncio.to_thread(int)
        assert (await row(app, "both", "a")).owner is not None
        gate.open()
        await clock.settle()
        assert (await row(app, "both", "a")).owner is None
        await flows.send_message("a", "hello")
        assert await flows.completion("a") == ["hello", "slow"]
    assert ran == ["slow"]
