"""asyncio's own time limits around durable waits: they work while warm, and it is said once."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, events_of, names_of, until
from unbroken import capture, effect, flow, gather, message, sleep
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)
LONG = 3600.0


async def wait_inside() -> object:
    async with asyncio.timeout(LONG):
        return await message(str)


async def wait_deep_inside() -> object:
    async with asyncio.timeout(LONG):
        return await deeper()


async def deeper() -> object:
    await capture("before", int)
    return await message(str)


async def gather_inside() -> object:
    async with asyncio.timeout(LONG):
        return await gather(message(str), capture("beside", int))


async def wait_inside_a_branch() -> object:
    async def branch() -> object:
        async with asyncio.timeout(LONG):
            return await message(str)

    return await gather(branch(), capture("beside", int))


async def sleep_inside() -> object:
    async with asyncio.timeout(LONG):
        await sleep(HOUR)


WAIT_IN_A_LINE = (wait_inside, wait_deep_inside, wait_inside_a_branch, sleep_inside)


@pytest.mark.parametrize("suspend_after", [AT_ONCE, timedelta(seconds=10)], ids=["cold", "warm"])
@pytest.mark.parametrize(
    "code",
    [
        wait_inside,
        wait_deep_inside,
        gather_inside,
        wait_inside_a_branch,
        sleep_inside,
    ],
    ids=lambda code: code.__name__,
)
async def test_a_wait_inside_of_asyncios_limits_is_told(
    apps: Apps,
    clock: VirtualClock,
    code: Callable[[], Coroutine[Any, Any, object]],
    suspend_after: timedelta,
) -> None:
    @flow
    async def limited() -> None:
        await code()

    app = apps(suspend_after=suspend_after)
    told = events_of(app)
    flows = app.register(limited)
    async with app:
        scheduled = await flows.schedule("1")
        await clock.settle()
        await flows.send_message("1", "go")
        await clock.advance(HOUR)
        await scheduled.completion()
    (event,) = [event for event in told if event.name == "flow.volatile_timeout"]
    assert "asyncio.timeout" in event.text
    assert "`timeout=`" in event.text
    assert "race(" in event.text
    assert ("test_loop_limits.py:" in event.text) == (code in WAIT_IN_A_LINE)


async def test_wait_for_is_told_too(apps: Apps) -> None:
    @flow
    async def limited() -> str:
        return await asyncio.wait_for(message(str), LONG)

    app = apps()
    told = events_of(app)
    flows = app.register(limited)
    async with app:
        scheduled = await flows.schedule("1")
        await until(lambda: "flow.volatile_timeout" in names_of(told))
        await flows.send_message("1", "go")
        assert await scheduled.completion() == "go"


async def ask_in_time() -> None:
    async with asyncio.timeout(LONG):
        await capture("inside", int)
    await message(str)


async def body_with_a_limit() -> None:
    async def body() -> None:
        async with asyncio.timeout(LONG):
            await asyncio.sleep(0)

    await capture(body)
    await gather(message(str), capture(body))


async def limit_beside() -> None:
    async def limited() -> None:
        async with asyncio.timeout(LONG):
            await done.wait()

    done = asyncio.Event()
    beside = asyncio.create_task(limited())
    await asyncio.sleep(0)
    await message(str)
    done.set()
    await beside


async def limit_in_another_branch() -> None:
    done = asyncio.Event()

    async def limited() -> None:
        async with asyncio.timeout(LONG):
            await done.wait()

    async def waits() -> None:
        await message(str)
        done.set()

    await gather(limited(), waits())


async def durable_limits() -> None:
    await message(bytes, timeout=timedelta(milliseconds=1))
    await effect(asyncio.sleep, name="inside", timeout=HOUR)(0)
    await message(str)


async def no_limit_at_all() -> None:
    async with asyncio.timeout(None):
        await message(str)


@pytest.mark.parametrize(
    "code",
    [
        ask_in_time,
        body_with_a_limit,
        limit_beside,
        limit_in_another_branch,
        durable_limits,
        no_limit_at_all,
    ],
    ids=lambda code: code.__name__,
)
async def test_what_limits_no_durable_wait_is_not_told(
    apps: Apps, clock: VirtualClock, code: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    @flow
    async def limited() -> None:
        await code()

    app = apps()
    told = events_of(app)
    flows = app.register(limited)
    async with app:
        scheduled = await flows.schedule("1")
        await flows.send_message("1", "go")
        await clock.advance(timedelta(seconds=1))
        await scheduled.completion()
    assert "flow.volatile_timeout" not in names_of(told)


async def test_it_is_told_once_in_the_life_of_an_app(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def limited() -> None:
        await wait_inside()
        await wait_deep_inside()

    app = apps()
    told = events_of(app)
    flows = app.register(limited)
    for id in "12":
        async with app:
            scheduled = await flows.schedule(id)
            await flows.send_message(id, "go")
            await flows.send_message(id, "go on")
            await clock.settle()
            await scheduled.completion()
    assert names_of(told).count("flow.volatile_timeout") == 1


async def test_the_limit_begins_anew_with_each_incarnation(apps: Apps, clock: VirtualClock) -> None:
    begun: list[float] = []

    @flow
    async def limited() -> str:
        async with asyncio.timeout(LONG) as limit:
            begun.append(limit.when() or 0.0)
            await sleep(HOUR)
            await sleep(HOUR)
        return "the limit of one hour was never reached"

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(limited)
    async with app:
        scheduled = await flows.schedule("1")
        await clock.advance(2 * HOUR)
        assert (await scheduled.completion()).startswith("the limit")
    assert len(begun) == 3


async def test_it_works_while_the_flow_is_in_memory(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def limited() -> str:
        try:
            async with asyncio.timeout(0):
                await message(str)
        except TimeoutError:
            return "in time"
        return "never"

    app = apps()
    flows = app.register(limited)
    async with app:
        assert await flows.run("1") == "in time"
