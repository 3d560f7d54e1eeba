"""What a flow recorded and does not ask for again: told at its end, refused in strict mode."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, events_of, names_of
from unbroken import (
    FlowParked,
    Retry,
    capture,
    current_flow,
    flow,
    gather,
    message,
    race,
    saga,
    sleep,
)
from unbroken.engine.events import Event
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


def give(n: int) -> int:
    return n


class Cached:
    """A coroutine function behind functools.cache, as one meets it: its task is made once."""

    def __init__(self) -> None:
        self.price = functools.cache(self._price)

    def _price(self, product: str) -> "asyncio.Future[int]":
        return asyncio.ensure_future(capture("price", give, len(product)))


def flow_of(code: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return flow(name="caching")(code)


async def run(
    apps: Apps, clock: VirtualClock, code: Callable[[], Coroutine[Any, Any, Any]], *, strict: bool
) -> tuple[Any, list[Event]]:
    """Run a flow that leaves memory at each wait, to its end."""
    app = apps(suspend_after=AT_ONCE, strict=strict)
    told = events_of(app)
    flows = app.register(flow_of(code))
    async with app:
        scheduled = await flows.schedule("1")
        await clock.advance(HOUR)
        await flows.send_message("1", "go")
        return await scheduled.completion(), told


def caching() -> Callable[[], Coroutine[Any, Any, int]]:
    shop = Cached()

    async def code() -> int:
        price = await shop.price("tea")
        await message(str)
        return price

    return code


async def test_a_cached_capture_that_a_second_incarnation_skips_is_told(
    apps: Apps, clock: VirtualClock
) -> None:
    result, told = await run(apps, clock, caching(), strict=False)
    assert result == 3
    (event,) = [event for event in told if event.name == "flow.unread_effects"]
    assert "'price'" in event.text
    assert "functools.cache" in event.text


async def test_in_strict_mode_it_parks_the_flow(apps: Apps, clock: VirtualClock) -> None:
    with pytest.raises(FlowParked, match=r"'price'.*functools\.cache"):
        await run(apps, clock, caching(), strict=True)


async def test_in_strict_mode_changed_arguments_park_the_flow(
    apps: Apps, clock: VirtualClock
) -> None:
    async def code() -> int:
        number = await capture(give, current_flow().incarnation)
        await message(str)
        return number

    with pytest.raises(FlowParked, match="arguments with digest"):
        await run(apps, clock, code, strict=True)


@pytest.mark.parametrize("strict", [True, False])
async def test_a_deploy_is_only_told_even_in_strict_mode(shared: Apps, *, strict: bool) -> None:
    async def before() -> None:
        await capture("gone", give, 1)
        await capture("changed", give, 1)
        await message(str)

    async def after() -> int:
        changed = await capture("changed", give, 2)
        await message(str)
        return changed

    app = shared(strict=strict)
    flows = app.register(flow_of(before))
    async with app:
        await flows.schedule("1")
        await shared.clock.settle()
    app = shared(strict=strict)
    told = events_of(app)
    flows = app.register(flow_of(after))
    async with app:
        await flows.send_message("1", "go")
        assert await flows.completion("1") == 1
    assert {"effect.arguments_changed", "flow.unread_effects"} <= set(names_of(told))


async def branch(n: int) -> int:
    total = await capture(give, n)
    await sleep(HOUR)
    return total + await capture(give, n)


async def joined() -> tuple[int, int]:
    return await gather(branch(1), branch(2))


async def raced() -> tuple[int, int | None]:
    async def late() -> int:
        await capture("of the loser", give, 1)
        await sleep(HOUR * 1000)
        return 0

    return await race(branch(1), late())


async def one_fails() -> str:
    async def fails() -> None:
        await sleep(HOUR)
        raise LookupError

    async def is_cut() -> None:
        await capture("of the other", give, 1)
        await asyncio.sleep(0)
        await capture("more of the other", give, 1)
        await sleep(HOUR * 1000)

    try:
        await gather(fails(), is_cut())
    except LookupError:
        await sleep(HOUR)
    return "went on"


async def undone() -> str:
    try:
        async with saga() as block:
            await capture("done", give, 1)
            block.undo("undone", give, 1)
            await sleep(HOUR)
            raise LookupError
    except LookupError:
        await sleep(HOUR)
    return "went on"


async def nested() -> int:
    async def body() -> int:
        return await capture("inside", give, 1) + await capture("inside too", give, 1)

    total = await capture(body)
    await sleep(HOUR)
    return total


async def looks() -> bool:
    first = await current_flow().effects.mark("seen")
    await sleep(HOUR)
    return first


async def caught() -> str:
    async def fail() -> None:
        raise LookupError

    try:
        await capture(fail)
    except LookupError:
        await capture("compensate", give, 1)
    await sleep(HOUR)
    return "went on"


@pytest.mark.parametrize(
    "code", [joined, raced, one_fails, undone, nested, looks, caught], ids=lambda c: c.__name__
)
async def test_code_that_keeps_its_way_leaves_nothing_out(
    apps: Apps, clock: VirtualClock, code: Callable[[], Coroutine[Any, Any, Any]]
) -> None:
    async def resting() -> str:
        await sleep(HOUR)
        result = await code()
        await sleep(HOUR)
        return repr(result)

    app = apps(suspend_after=AT_ONCE, strict=True)
    told = events_of(app)
    flows = app.register(flow_of(resting))
    async with app:
        scheduled = await flows.schedule("1")
        await clock.advance(6 * HOUR)
        await scheduled.completion()
    assert not {"flow.unread_effects", "effect.renamed"} & set(names_of(told))


async def test_a_flow_that_is_tried_again_may_go_another_way(
    apps: Apps, clock: VirtualClock
) -> None:
    tries: list[int] = []

    def unsteady() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise LookupError
        return 1

    @flow(name="caching", retry=Retry(2, initial_delay=HOUR))
    async def trying() -> int:
        try:
            return await capture(unsteady)
        except LookupError:
            await capture("only after a failure", give, 1)
            raise

    app = apps(strict=True)
    told = events_of(app)
    flows = app.register(trying)
    async with app:
        scheduled = await flows.schedule("1")
        await clock.advance(2 * HOUR)
        assert await scheduled.completion() == 1
    assert "flow.unread_effects" not in names_of(told)
