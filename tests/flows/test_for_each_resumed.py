"""`for_each` over suspensions, crashes, errors, cancels and deploys: it goes on where it was."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, loose, stored_effects, until
from unbroken import (
    FlowCancelled,
    FlowFailed,
    FlowParked,
    capture,
    effect,
    flow,
    for_each,
    message,
    sleep,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
PAST_LEASE = LEASE + timedelta(seconds=5)


class Total(msgspec.Struct, frozen=True):
    """A complex accumulator."""

    amount: Decimal = Decimal(0)
    ids: tuple[str, ...] = ()


async def test_an_accumulator_goes_from_item_to_item_and_survives_suspensions(
    apps: Apps, clock: VirtualClock
) -> None:
    ran: list[int] = []

    async def price(n: int) -> Decimal:
        ran.append(n)
        return Decimal(n) / 4

    async def add(total: Total, n: int) -> Total:
        amount = await capture(price, n)
        await sleep(HOUR)
        return Total(total.amount + amount, (*total.ids, f"o-{n}"))

    @flow
    async def each() -> Total:
        total = await for_each(range(4), add, initial=Total())
        await sleep(HOUR)
        return total

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(each)
    async with app:
        await flows.schedule("a")
        await clock.advance(2 * HOUR)
        keys = stored_effects(app, "a").keys()
        assert keys == {"for_each.2", "for_each/2/price", "for_each/2/sleep"}
        await clock.advance(3 * HOUR)
        assert await flows.completion("a") == Total(Decimal("1.5"), ("o-0", "o-1", "o-2", "o-3"))
        assert stored_effects(app, "a").keys() == {"for_each", "sleep"}
    assert ran == [0, 1, 2, 3]


async def test_an_item_that_recorded_runs_once_over_a_crash(shared: Apps) -> None:
    gate, ran = Gate(), []

    async def call(n: int) -> int:
        ran.append(n)
        if n == 2 and ran.count(2) == 1:
            await gate.pass_through()
        return n

    @flow
    async def each() -> int:
        async def body(total: int, n: int) -> int:
            return total + await capture(call, n)

        return await for_each(range(4), body, initial=0)

    hung, hung_flows = await shared.hang(each)
    await hung_flows.schedule("a")
    await gate.reached()
    await until(lambda: "for_each/1/call" in stored_effects(hung, "a"))
    other = shared()
    flows = other.register(each)
    async with other:
        await shared.clock.advance(PAST_LEASE)
        assert await flows.completion("a") == 6
    assert ran == [0, 1, 2, 2, 3]


async def test_items_without_effects_are_not_repeated_after_a_suspension(
    apps: Apps, clock: VirtualClock
) -> None:
    done: list[int] = []

    @flow
    async def each() -> None:
        async def body(n: int) -> None:
            done.append(n)
            if n == 50:
                await message(str)

        await for_each(range(60), body)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(each)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        assert stored_effects(app, "a").keys() == {"for_each.50"}
        await flows.send_message("a", "go on")
        await flows.completion("a")
    assert done == [*range(51), *range(50, 60)]


async def test_a_crash_repeats_a_bounded_number_of_items_without_effects(shared: Apps) -> None:
    gate, done = Gate(), []

    @flow
    async def each() -> None:
        async def body(n: int) -> None:
            done.append(n)
            if n == 2500 and done.count(n) == 1:
                await gate.pass_through()

        await for_each(range(2600), body)

    hung, hung_flows = await shared.hang(each)
    await hung_flows.schedule("a")
    await gate.reached()
    assert stored_effects(hung, "a").keys() == {"for_each.2000"}
    other = shared()
    flows = other.register(each)
    async with other:
        await shared.clock.advance(PAST_LEASE)
        await flows.completion("a")
        assert stored_effects(other, "a").keys() == {"for_each"}
    assert done == [*range(2501), *range(2000, 2600)]


async def test_a_crash_repeats_fewer_items_whose_effects_go_with_the_next_write(
    shared: Apps,
) -> None:
    gate, done = Gate(), []

    @effect(flush=False)
    async def touch(n: int) -> int:
        done.append(n)
        return n

    @flow
    async def each() -> None:
        async def body(n: int) -> None:
            if n == 600 and done.count(599) == 1:
                await gate.pass_through()
            await touch(n)

        await for_each(range(601), body)

    hung, hung_flows = await shared.hang(each)
    await hung_flows.schedule("a")
    await gate.reached()
    assert stored_effects(hung, "a").keys() == {"for_each.512"}
    other = shared()
    flows = other.register(each)
    async with other:
        await shared.clock.advance(PAST_LEASE)
        await flows.completion("a")
    assert done == [*range(600), *range(512, 601)]


async def test_an_error_says_at_which_item_and_a_restart_goes_on_there(
    apps: Apps, clock: VirtualClock
) -> None:
    done: list[int] = []
    is_down = True

    async def call(n: int) -> int:
        if n == 2 and is_down:
            raise OSError("down")
        done.append(n)
        return n

    @flow
    async def each() -> None:
        async def body(n: int) -> None:
            await capture(call, n)

        try:
            await for_each(range(4), body)
        except OSError as error:
            notes.append(error.__notes__)
            raise

    notes: list[list[str]] = []
    app = apps()
    flows = app.register(each)
    async with app:
        with pytest.raises(FlowFailed, match="down"):
            await flows.run("a")
        assert notes == [["in item 2 of 'for_each'"]]
        is_down = False
        panel = await loose(flows).control_panel("a")
        await panel.restart()
        await flows.completion("a")
    assert done == [0, 1, 2, 3]


async def test_a_cut_item_is_cut_the_same_way_on_replay(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def each() -> list[str]:
        async def body(found: list[str], n: int) -> list[str]:
            try:
                async with asyncio.timeout(0 if n == 1 else None):
                    await capture("a", asyncio.sleep, 0 if n != 1 else 3600)
            except TimeoutError:
                await sleep(HOUR)
                return [*found, f"{n} cut"]
            return [*found, f"{n}"]

        return await for_each(range(3), body, initial=loose([]))

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(each)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == ["0", "1 cut", "2"]
        assert stored_effects(app, "a").keys() == {"for_each"}


async def test_what_the_iterable_captures_is_kept_and_replayed(
    apps: Apps, clock: VirtualClock
) -> None:
    fetched: list[int] = []

    async def fetch(page: int) -> list[int]:
        fetched.append(page)
        return [page * 2, page * 2 + 1]

    async def pages() -> AsyncIterator[int]:
        for page in range(3):
            for n in await capture(fetch, page):
                yield n

    @flow
    async def each() -> list[int]:
        async def add(found: list[int], n: int) -> list[int]:
            await sleep(HOUR)
            return [*found, n]

        return await for_each(pages(), add, initial=loose([]))

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(each)
    async with app:
        await flows.schedule("a")
        await clock.advance(6 * HOUR)
        assert await flows.completion("a") == list(range(6))
        assert stored_effects(app, "a").keys() == {"fetch", "fetch#2", "fetch#3", "for_each"}
    assert fetched == [0, 1, 2]


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (["a", "b"], "a shorter sequence, the journal holds 3 items"),
        (["b", "c", "d", "e", "f"], "'d' as item 2: the sequence changed, .* 'c' there"),
    ],
    ids=["shorter", "other"],
)
@pytest.mark.parametrize("is_async", [False, True], ids=["iterable", "async"])
async def test_another_sequence_than_before_parks_the_flow(
    apps: Apps, clock: VirtualClock, now: list[str], text: str, *, is_async: bool
) -> None:
    sequences: Iterator[list[str]] = iter([*[list("abcde")] * 4, now])

    async def pulled(items: list[str]) -> AsyncIterator[str]:
        for item in items:
            yield item

    @flow
    async def each() -> None:
        async def body(_: str) -> None:
            await sleep(HOUR)

        items: Any = next(sequences)
        await for_each(pulled(items) if is_async else items, body, key=str)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(each)
    async with app:
        await flows.schedule("a")
        await clock.advance(3 * HOUR)
        assert "for_each.3" in stored_effects(app, "a")
        await clock.advance(HOUR)
        with pytest.raises(FlowParked, match=text):
            await flows.completion("a")


async def test_items_that_were_added_behind_are_done_too(apps: Apps, clock: VirtualClock) -> None:
    items = ["a"]

    @flow
    async def each() -> list[str]:
        async def add(found: list[str], item: str) -> list[str]:
            await sleep(HOUR)
            return [*found, item]

        return await for_each(list(items), add, initial=loose([]), key=lambda item: item)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(each)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        items.append("b")
        await clock.advance(2 * HOUR)
        assert await flows.completion("a") == ["a", "b"]


async def test_a_loop_that_lost_its_accumulator_parks_the_flow(
    shared: Apps, clock: VirtualClock
) -> None:
    @flow(name="each")
    async def before() -> None:
        async def body(total: int, n: int) -> int:
            await sleep(HOUR)
            return total + n

        await for_each(range(3), body, initial=0)

    @flow(name="each")
    async def after() -> None:
        async def body(_: int) -> None:
            await sleep(HOUR)

        await for_each(range(3), body)

    app = shared(suspend_after=AT_ONCE)
    flows = app.register(before)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
    app = shared(suspend_after=AT_ONCE)
    flows = app.register(after)
    async with app:
        await clock.advance(HOUR)
        with pytest.raises(FlowParked, match="without an accumulator"):
            await flows.completion("a")


async def test_the_flows_cancel_is_raised_between_items_of_a_loop_without_effects(
    apps: Apps,
) -> None:
    gate, done = Gate(), []

    @flow
    async def each() -> None:
        async def body(n: int) -> None:
            done.append(n)
            if n == 10:
                await gate.pass_through()

        await for_each(range(1000), body)

    app = apps()
    flows = app.register(each)
    async with app:
        await flows.schedule("a")
        await gate.reached()
        await flows.cancel("a")
        gate.open()
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert stored_effects(app, "a").keys() == {"for_each.11", "for_each.cancel"}
    assert done == list(range(11))


async def test_a_body_cannot_swallow_the_flows_cancel(apps: Apps, clock: VirtualClock) -> None:
    done: list[int] = []

    @flow
    async def each() -> None:
        async def body(n: int) -> None:
            done.append(n)
            try:
                await sleep(HOUR)
            except FlowCancelled:
                return

        try:
            await for_each(range(9), body)
        except FlowCancelled:
            done.append(-1)
            raise

    app = apps(suspend_after=2 * HOUR)
    flows = app.register(each)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
    assert done == [0, 1, -1]
