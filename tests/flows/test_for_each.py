"""`for_each`: each item once and in order, whatever its body does."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, loose, row, stored_effects
from unbroken import (
    FlowFailed,
    GeneratorRefused,
    InvalidId,
    NameRequired,
    capture,
    flow,
    for_each,
    gather,
    message,
    race,
    sleep,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
PAST_LEASE = LEASE + timedelta(seconds=5)


async def numbers(count: int) -> AsyncIterator[int]:
    for n in range(count):
        yield n


@pytest.mark.parametrize("items", [[1, 2, 3], (1, 2, 3), range(1, 4), {1: "", 2: "", 3: ""}])
async def test_each_item_is_done_in_order(apps: Apps, items: Iterable[int]) -> None:
    done: list[int] = []

    @flow
    async def each() -> None:
        async def body(item: int) -> None:
            done.append(await capture(int, item))

        await for_each(items, body)

    app = apps()
    flows = app.register(each)
    async with app:
        await flows.run("a")
        assert stored_effects(app, "a") == {"for_each": "progress"}
    assert done == [1, 2, 3]


async def test_items_may_come_from_an_async_iterable(apps: Apps) -> None:
    @flow
    async def each() -> int:
        async def add(total: int, n: int) -> int:
            return total + n

        return await for_each(numbers(10), add, initial=0)

    app = apps()
    flows = app.register(each)
    async with app:
        assert await flows.run("a") == 45


@pytest.mark.parametrize("items", [[], [7]], ids=["none", "one"])
async def test_a_sequence_of_none_or_one(apps: Apps, clock: VirtualClock, items: list[int]) -> None:
    @flow
    async def each() -> list[int]:
        async def add(found: list[int], n: int) -> list[int]:
            return [*found, n]

        found = await for_each(items, add, initial=loose([]))
        await sleep(HOUR)
        return found

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(each)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == items


async def test_the_body_gets_an_accumulator_of_its_own_each_time(apps: Apps) -> None:
    seen: list[int] = []
    first: list[int] = []

    @flow
    async def each() -> list[int]:
        async def add(found: list[int], n: int) -> list[int]:
            seen.append(id(found))
            found.append(n)
            return found

        return await for_each(range(3), add, initial=first)

    app = apps()
    flows = app.register(each)
    async with app:
        assert await flows.run("a") == [0, 1, 2]
    assert first == []


async def test_an_accumulator_that_cannot_be_stored_is_refused_at_its_item(apps: Apps) -> None:
    @flow
    async def each() -> None:
        async def add(_: object, n: int) -> object:
            return object() if n == 2 else n

        await for_each(range(5), add, initial=None)

    app = apps()
    flows = app.register(each)
    async with app:
        with pytest.raises(FlowFailed, match="NotSerializable"):
            await flows.run("a")


async def test_a_body_may_wait_start_children_gather_race_and_loop(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def child(n: int) -> int:
        await sleep(HOUR)
        return n * 100

    async def add(total: int, n: int) -> int:
        await sleep(SECOND)
        return total + n

    async def body(total: int, n: int) -> int:
        inner = await for_each(range(n + 1), add, initial=0)
        one, two = await gather(child.run(f"c-{n}", n), capture(int, n * 10))
        index, _ = await race(message(str), sleep(HOUR))
        return total + inner + one + two + index

    @flow
    async def each() -> int:
        return await for_each(range(3), body, initial=0)

    app = apps(suspend_after=AT_ONCE)
    app.register(child)
    flows = app.register(each)
    async with app:
        await flows.schedule("a")
        await clock.advance(8 * HOUR)
        assert await flows.completion("a") == (0 + 1 + 3) + 300 + 30 + 3
        assert stored_effects(app, "a").keys() == {"for_each"}


async def test_two_loops_have_keys_of_their_own_and_may_run_side_by_side(apps: Apps) -> None:
    async def add(total: int, n: int) -> int:
        return total + await capture(int, n)

    @flow
    async def each() -> list[int]:
        first = await for_each(range(3), add, initial=0)
        named = await for_each(range(4), add, initial=0, name="orders")
        return [
            first,
            named,
            *await gather(for_each(range(5), add, initial=0), for_each(range(6), add, initial=0)),
        ]

    app = apps()
    flows = app.register(each)
    async with app:
        assert await flows.run("a") == [3, 6, 10, 15]
        keys = {"for_each", "orders", "for_each#2", "for_each#3"}
        assert stored_effects(app, "a").keys() == keys


async def test_a_loop_in_a_task_of_the_users_needs_its_key_before(
    apps: Apps, clock: VirtualClock
) -> None:
    async def add(total: int, n: int) -> int:
        await sleep(HOUR)
        return total + await capture(int, n)

    @flow
    async def each() -> list[int]:
        async def inside() -> int:
            return await for_each(range(3), add, initial=0)

        async def named() -> int:
            return await for_each(range(3), add, initial=0, name="mine")

        with pytest.raises(NameRequired):
            await asyncio.create_task(inside())
        async with asyncio.TaskGroup() as group:
            first = group.create_task(for_each(range(4), add, initial=0))
            second = group.create_task(named())
        return [first.result(), second.result()]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(each)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        assert (await row(app, "each", "a")).owner is None
        await clock.advance(4 * HOUR)
        assert await flows.completion("a") == [6, 3]


async def test_an_async_generator_is_closed_when_an_item_fails(apps: Apps) -> None:
    closed: list[str] = []

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.append("closed")

    @flow
    async def each() -> None:
        async def fail(_: int) -> None:
            raise OSError("down")

        try:
            await for_each(source(), fail)
        except OSError:
            assert closed == ["closed"]

    app = apps()
    flows = app.register(each)
    async with app:
        await flows.run("a")


async def test_a_loop_in_a_race_that_loses_leaves_nothing(apps: Apps, clock: VirtualClock) -> None:
    async def body(n: int) -> None:
        await capture(int, n)
        await sleep(HOUR)

    @flow
    async def two() -> int:
        index, _ = await race(for_each(range(9), body), sleep(3 * HOUR + SECOND))
        await sleep(HOUR)
        return index

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(two)
    async with app:
        await flows.schedule("a")
        await clock.advance(3 * HOUR)
        assert "for_each.3" in stored_effects(app, "a")
        await clock.advance(2 * HOUR)
        assert await flows.completion("a") == 1
        assert stored_effects(app, "a").keys() == {"race", "sleep", "sleep#2"}


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((5, print), TypeError, "items to iterate over, not a int"),
        (([1], None), TypeError, r"for_each\(items, body\), not"),
        (([1], lambda _: None), TypeError, "write it as `async def`"),
        (([1], numbers), GeneratorRefused, "generator"),
    ],
    ids=["items", "body", "not async", "generator"],
)
async def test_wrong_arguments_are_refused_with_advice(
    apps: Apps, arguments: Any, error: type[Exception], text: str
) -> None:
    @flow
    async def wrong() -> None:
        with pytest.raises(error, match=text):
            await loose(for_each)(*arguments)
        with pytest.raises(TypeError, match="for_each"):
            loose(for_each)([1], wrong_body, key="id")
        with pytest.raises(TypeError, match="await …"):
            loose(for_each)(wrong_body(1), wrong_body)
        with pytest.raises(InvalidId):
            loose(for_each)([1], wrong_body, name="a/b")

    async def wrong_body(_: int) -> None: ...

    app = apps()
    flows = app.register(wrong)
    async with app:
        await flows.run("a")
        assert stored_effects(app, "a") == {}
