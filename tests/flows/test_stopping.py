"""Stopping: what runs may end in its grace, the rest is handed over at once."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, Gate, jump, loose, row, stored_effects, until
from unbroken import (
    AppNotRunning,
    EffectInterrupted,
    Status,
    capture,
    current_flow,
    effect,
    flow,
    message,
    postpone,
    sleep,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@flow
async def wait_for_text() -> str:
    return await message(str)


async def test_a_stop_lets_a_running_effect_end_and_records_it(shared: Apps) -> None:
    gate, ran = Gate(), []

    async def ship() -> str:
        ran.append(1)
        await gate.pass_through()
        return "T"

    @flow
    async def order() -> str:
        tracking = await capture(ship)
        await capture("later", lambda: ran.append(2))
        return tracking

    app = shared()
    flows = app.register(order)
    await app.start()
    await flows.schedule("a")
    await gate.reached()
    stopping = asyncio.create_task(app.stop(HOUR))
    await asyncio.sleep(0)
    assert not stopping.done()
    gate.open()
    await stopping
    assert ran == [1]

    other = shared()
    flows = other.register(order)
    async with other:
        assert stored_effects(other, "a").keys() >= {"ship"}
        assert await flows.completion("a") == "T"
    assert ran == [1, 2]


async def test_effects_inside_a_running_effect_may_end_in_the_grace_too(shared: Apps) -> None:
    gate, ran = Gate(), []

    async def ship() -> str:
        await gate.pass_through()
        return await capture("label", lambda: ran.append("label") or "T")

    @flow
    async def order() -> str:
        return await effect(ship, at_most_once=True)()

    app = shared()
    flows = app.register(order)
    await app.start()
    await flows.schedule("a")
    await gate.reached()
    stopping = asyncio.create_task(app.stop(HOUR))
    await asyncio.sleep(0)
    gate.open()
    await stopping

    other = shared()
    flows = other.register(order)
    async with other:
        assert await flows.completion("a") == "T"
    assert ran == ["label"]


async def test_a_stop_hands_flows_over_without_a_lease_to_wait_for(shared: Apps) -> None:
    app = shared()
    flows = app.register(wait_for_text)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
        assert (await row(app, "wait_for_text", "a")).owner is not None
    other = shared()
    flows = other.register(wait_for_text)
    async with other:
        assert (await row(other, "wait_for_text", "a")).owner is None
        await flows.send_message("a", "hello")
        assert await flows.completion("a") == "hello"


async def test_an_effect_that_outlasts_the_grace_is_cut_and_runs_again_elsewhere(
    shared: Apps,
) -> None:
    gate, ran = Gate(), []

    async def ship() -> str:
        ran.append("begun")
        if len(ran) == 1:
            try:
                await gate.pass_through()
            except asyncio.CancelledError:
                ran.append("cut")
                raise
        return "T"

    @flow
    async def order() -> str:
        return await capture(ship)

    app = shared()
    flows = app.register(order)
    await app.start()
    await flows.schedule("a")
    await gate.reached()
    stopping = asyncio.create_task(app.stop(10 * SECOND))
    await until(lambda: loose(app)._engine._is_stopping)
    assert not stopping.done()
    await jump(shared.clock, 10 * SECOND)
    await stopping

    other = shared()
    flows = other.register(order)
    async with other:
        assert await flows.completion("a") == "T"
    assert ran == ["begun", "cut", "begun"]


async def test_an_at_most_once_effect_cut_by_a_stop_has_an_unknown_outcome(shared: Apps) -> None:
    gate, ran = Gate(), []

    @effect(at_most_once=True)
    async def ship() -> None:
        ran.append(1)
        await gate.pass_through()

    @flow
    async def order() -> str:
        try:
            await ship()
        except EffectInterrupted:
            return "unknown"
        return "shipped"

    app = shared()
    flows = app.register(order)
    await app.start()
    await flows.schedule("a")
    await gate.reached()
    await app.stop(AT_ONCE)
    other = shared()
    flows = other.register(order)
    async with other:
        assert await flows.completion("a") == "unknown"
    assert ran == [1]


async def test_a_stop_returns_at_once_when_flows_only_wait(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def polite() -> None:
        await postpone(HOUR)

    @flow
    async def sleepy() -> None:
        await sleep(HOUR)

    app = apps()
    waits, polites, sleepies = (app.register(one) for one in (wait_for_text, polite, sleepy))
    await app.start()
    for flows in (waits, polites, sleepies):
        await flows.schedule("a")
    await clock.settle()
    before = clock.monotonic()
    await app.stop(HOUR)
    assert clock.monotonic() == before


async def test_after_a_stop_no_code_runs_and_nothing_is_written(shared: Apps) -> None:
    gate, ran = Gate(), []

    @flow
    async def order() -> None:
        ran.append("before")
        try:
            await capture("held", gate.pass_through)
        finally:
            await capture("compensate", lambda: ran.append("compensated"))

    app = shared()
    flows = app.register(order)
    await app.start()
    await flows.schedule("a")
    await gate.reached()
    await app.stop(AT_ONCE)
    gate.open()
    for _ in range(10):
        await asyncio.sleep(0)
    assert ran == ["before"]
    assert stored_effects(app, "a") == {}


async def test_a_stop_while_the_store_is_asked_does_not_hold_up_the_clock(
    apps: Apps, clock: VirtualClock
) -> None:
    asked = asyncio.Event()

    async def never(*_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    app = apps()
    app.register(wait_for_text)
    loose(app)._store.poll = never
    await app.start()
    await asked.wait()
    settling = asyncio.create_task(clock.settle())
    await app.stop()
    await settling


async def test_a_second_stop_does_nothing(apps: Apps) -> None:
    app = apps()
    await app.start()
    await app.stop()
    await app.stop()


async def test_whoever_waits_when_the_app_stops_is_told(apps: Apps, clock: VirtualClock) -> None:
    app = apps()
    flows = app.register(wait_for_text)
    async with app:
        waiting = asyncio.create_task(flows.run("a"))
        await clock.settle()
    with pytest.raises(AppNotRunning, match="stopped before the flow ended"):
        await waiting


async def test_a_flow_in_memory_at_the_stop_runs_its_finally_but_records_nothing_there(
    shared: Apps,
) -> None:
    said: list[str] = []

    @asynccontextmanager
    async def resource():
        said.append("open")
        try:
            yield
        finally:
            said.append("close")

    @flow
    async def holding() -> str:
        async with resource():
            return await message(str)

    app = shared()
    flows = app.register(holding)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
    assert said == ["open", "close"]
    assert (await _status(shared, holding)) is Status.LIVE


async def _status(shared: Apps, definition) -> Status:
    client = shared(execute=False)
    flows = client.register(definition)
    async with client:
        (info,) = await flows.list()
    return info.status


async def test_flow_code_knows_that_it_replays(shared: Apps) -> None:
    seen: list[bool] = []

    @flow
    async def telling() -> None:
        seen.append(current_flow().replaying)
        await capture("one", lambda: 1)
        seen.append(current_flow().replaying)
        await message(str)

    app = shared()
    flows = app.register(telling)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
    async with app:
        await flows.send_message("a", "go")
        await flows.completion("a")
    assert seen == [False, False, True, True]
