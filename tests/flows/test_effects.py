"""Effects: recorded once, remembered through suspension, given back as they were."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, Gate, stored_effects
from unbroken import capture, current_flow, effect, flow, message, now, sleep
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


@dataclass
class Animal:
    name: str


@dataclass
class Dog(Animal):
    tail: int


async def test_a_completed_effect_is_not_run_again(apps: Apps, clock: VirtualClock) -> None:
    ran: list[str] = []

    async def fetch(n: int) -> int:
        ran.append("async")
        return n + len(ran)

    def compute(n: int) -> int:
        ran.append("sync")
        return n + len(ran)

    def note() -> None:
        ran.append("none")

    @flow
    async def three() -> tuple[int, int, None]:
        results = await capture(fetch, 10), await capture(compute, 20), await capture(note)
        await sleep(HOUR)
        return results

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(three)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == (11, 22, None)
    assert ran == ["async", "sync", "none"]


async def test_an_effect_without_a_result_is_remembered(apps: Apps, clock: VirtualClock) -> None:
    asked: list[int] = []

    def find(n: int) -> str | None:
        asked.append(n)
        return None

    @flow
    async def ask() -> list[str | None]:
        first = await capture(find, 1)
        await sleep(HOUR)
        return [first, await capture("again", find, 2)]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(ask)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == [None, None]
    assert asked == [1, 2]


async def test_a_completed_at_most_once_effect_gives_its_recorded_result(
    apps: Apps, clock: VirtualClock
) -> None:
    ran: list[str] = []

    @effect(at_most_once=True)
    async def ship(order: str) -> str:
        ran.append(order)
        return f"T-{len(ran)}"

    @flow
    async def order_flow() -> str:
        tracking = await ship("book")
        await sleep(HOUR)
        return tracking

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(order_flow)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == "T-1"
        assert stored_effects(app, "a") == {"ship": "once", "sleep": "deadline"}
    assert ran == ["book"]


async def test_a_failed_effect_raises_again_without_running(
    apps: Apps, clock: VirtualClock
) -> None:
    ran: list[int] = []
    caught: list[tuple[type, str]] = []

    async def ship() -> None:
        ran.append(1)
        raise KeyError("no stock")

    @flow
    async def order_flow() -> str:
        try:
            await capture(ship)
        except KeyError as error:
            caught.append((type(error), str(error)))
        await sleep(HOUR)
        return "handled"

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(order_flow)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == "handled"
    assert ran == [1]
    assert caught == [(KeyError, "'no stock'")] * 2


async def test_children_of_a_failed_or_empty_parent_are_gone_too(apps: Apps) -> None:
    async def fails() -> None:
        await capture("inner", lambda: 1)
        raise ValueError("after the inner one")

    async def gives_nothing() -> None:
        await capture("inner", lambda: 1)

    @flow
    async def nested() -> None:
        await capture(gives_nothing)
        with pytest.raises(ValueError, match="after the inner one"):
            await capture(fails)

    app = apps()
    flows = app.register(nested)
    async with app:
        await flows.run("a")
        assert stored_effects(app, "a") == {"gives_nothing": "capture", "fails": "capture"}


async def test_an_effect_without_flush_is_stored_with_the_next_write(apps: Apps) -> None:
    seen: list[dict[str, str]] = []

    @flow
    async def lazy() -> int:
        first = await effect(lambda: 1, name="first", flush=False)()
        seen.append(stored_effects(app, "a"))
        assert current_flow().effects.get("first", int) == 1
        second = await capture("second", lambda: 2)
        seen.append(stored_effects(app, "a"))
        third = await effect(lambda: 3, name="third", flush=False)()
        return first + second + third

    app = apps()
    flows = app.register(lazy)
    async with app:
        assert await flows.run("a") == 6
        assert seen == [{}, {"first": "capture", "second": "capture"}]
        assert stored_effects(app, "a").keys() == {"first", "second", "third"}


async def test_a_suspension_writes_what_was_not_flushed(apps: Apps, clock: VirtualClock) -> None:
    ran: list[int] = []

    @flow
    async def lazy() -> int:
        count = await effect(lambda: ran.append(1) or len(ran), name="lazy", flush=False)()
        await message(str)
        return count

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(lazy)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        assert stored_effects(app, "a") == {"lazy": "capture"}
        await flows.send_message("a", "go on")
        assert await flows.completion("a") == 1


async def test_the_first_of_several_captures_in_tasks_is_remembered(
    apps: Apps, clock: VirtualClock
) -> None:
    gate, winners = Gate(), []

    async def fast() -> str:
        return "fast"

    async def slow() -> str:
        await gate.pass_through()
        return "slow"

    async def first_of_both() -> str:
        tasks = [asyncio.create_task(fast()), asyncio.create_task(slow())]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        return next(iter(done)).result()

    @flow
    async def compete() -> str:
        winner = await capture(first_of_both)
        winners.append(winner)
        await sleep(HOUR)
        return winner

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(compete)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == "fast"
    assert winners == ["fast", "fast"]


async def test_a_clock_that_was_read_gives_the_same_instant_on_replay(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[datetime] = []

    @flow
    async def reading() -> datetime:
        seen.append(await now())
        await sleep(HOUR)
        return await now()

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(reading)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        later = await flows.completion("a")
    assert seen[0] == seen[1]
    assert later - seen[0] == HOUR


async def test_a_result_behind_a_base_class_comes_back_as_its_own_class(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[object] = []

    def adopt() -> Animal:
        return Dog("Rex", 1)

    def adopt_many() -> Sequence[Animal]:
        return [Dog("Rex", 1), Animal("Tom")]

    @flow
    async def adopting() -> Animal:
        seen.append(await capture(adopt))
        seen.append(await capture(adopt_many))
        await sleep(HOUR)
        return Dog("Ben", 2)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(adopting)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == Dog("Ben", 2)
    assert seen == [Dog("Rex", 1), [Dog("Rex", 1), Animal("Tom")]] * 2


async def test_a_large_result_and_many_effects_come_back(apps: Apps, clock: VirtualClock) -> None:
    large = "ü" * 250_000

    @flow
    async def heavy() -> tuple[int, int]:
        text = await capture("large", lambda: large)
        numbers = [await capture("one", lambda n=n: n) for n in range(500)]
        await sleep(HOUR)
        return len(text), sum(numbers)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(heavy)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == (250_000, sum(range(500)))
