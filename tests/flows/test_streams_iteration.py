"""`async for` over messages: one effect a turn, the same turns on every replay."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, loose, row, stored_effects, stored_messages
from unbroken import FlowFailed, FlowParked, UsageError, capture, flow, message, messages, sleep
from unbroken.testing import VirtualClock

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass
class Paid:
    amount: int


@dataclass
class Closed:
    reason: str


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_a_loop_sees_each_message_once_and_ends_with_its_stream(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    charged: list[int] = []

    async def charge(amount: int) -> None:
        charged.append(amount)

    @flow
    async def account() -> list[int]:
        amounts: list[int] = []
        events = messages(Paid, Closed).take_until(lambda one: isinstance(one, Closed))
        async for paid in events.of_types(Paid).map(lambda paid: paid.amount):
            await capture(charge, paid)
            amounts.append(paid)
        amounts.append((await message(Paid)).amount)
        return amounts

    app = apps(suspend_after=suspend_after)
    flows = app.register(account)
    async with app:
        scheduled = await flows.schedule("a")
        for one in (Paid(1), Paid(2), Closed("end"), Paid(3)):
            await flows.send_message("a", one)
            await clock.settle()
        assert await scheduled.completion() == [1, 2, 3]
    assert charged == [1, 2]


async def test_each_turn_is_an_effect_of_its_own_and_consumes_what_was_pulled_for_it(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def odd() -> None:
        async for _ in messages(int).skip(0).where(lambda n: n % 2 == 1).take(2):
            pass
        await message(str)

    app = apps()
    flows = app.register(odd)
    async with app:
        await flows.schedule("a")
        for number in (2, 4):
            await flows.send_message("a", number)
        await clock.settle()
        assert stored_effects(app, "a") == {}
        assert stored_messages(app, "a") == ["2", "4"]
        await flows.send_message("a", 5)
        await clock.settle()
        assert stored_effects(app, "a") == {"messages:int": "stream"}
        assert stored_messages(app, "a") == []
        for number in (6, 7, 8):
            await flows.send_message("a", number)
        await clock.settle()
        assert stored_effects(app, "a") == {"messages:int": "stream", "messages:int#2": "stream"}
        assert stored_messages(app, "a") == ["8"]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_operators_remember_over_turns_and_replays(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    @flow
    async def totals() -> list[list[int]]:
        found: list[list[int]] = []
        numbers = messages(int).distinct_by(int).skip(1)
        async for chunk in numbers.scan(0, lambda total, n: total + n).take(5).chunk(2):
            await sleep(MINUTE)
            found.append(chunk)
        return found

    app = apps(suspend_after=suspend_after)
    flows = app.register(totals)
    async with app:
        scheduled = await flows.schedule("a")
        for number in (9, 1, 1, 2, 3, 9, 4, 5, 6):
            await flows.send_message("a", number)
            await clock.advance(2 * MINUTE)
        assert await scheduled.completion() == [[1, 3], [6, 10], [15]]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_one_limit_counts_for_the_whole_loop(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    @flow
    async def limited() -> list[list[int]]:
        found: list[list[int]] = []
        async for chunk in messages(int).until(MINUTE).chunk(2):
            found.append(chunk)
            await sleep(timedelta(seconds=1))
        await sleep(HOUR)
        return found

    app = apps(suspend_after=suspend_after)
    flows = app.register(limited)
    async with app:
        scheduled = await flows.schedule("a")
        for number in (1, 2, 3):
            await clock.advance(timedelta(seconds=15))
            await flows.send_message("a", number)
        await clock.advance(timedelta(seconds=14))
        assert "messages:int#2" not in stored_effects(app, "a")
        await clock.advance(timedelta(seconds=2))
        assert stored_effects(app, "a")["messages:int#2"] == "stream"
        assert "messages:int.due" not in stored_effects(app, "a")
        await flows.send_message("a", 4)
        await clock.advance(2 * HOUR)
        assert await scheduled.completion() == [[1, 2], [3]]


async def test_a_loop_whose_time_is_over_ends_on_replay_too(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def limited() -> list[int]:
        found = [number async for number in messages(int).until(MINUTE)]
        found.append(-1)
        await message(str)
        return found

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(limited)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", 1)
        await clock.advance(MINUTE)
        await flows.send_message("a", 2)
        await clock.settle()
        await flows.send_message("a", "end")
        assert await scheduled.completion() == [1, -1]
        assert (await row(app, "limited", "a")).incarnation >= 4


async def test_a_loop_that_is_left_early_leaves_the_rest(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def early() -> list[int]:
        found: list[int] = []
        async for number in messages(int):
            found.append(number)
            if number == 2:
                break
        return [*found, await messages(int).first(), await message(int)]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(early)
    async with app:
        scheduled = await flows.schedule("a")
        for number in (1, 2, 3, 4):
            await flows.send_message("a", number)
            await clock.settle()
        assert await scheduled.completion() == [1, 2, 3, 4]


async def test_one_description_may_be_gone_through_twice(apps: Apps) -> None:
    @flow
    async def twice() -> list[int]:
        pair = messages(int).scan(0, lambda total, n: total + n).take(2)
        return [one async for one in pair] + [one async for one in pair]

    app = apps()
    flows = app.register(twice)
    async with app:
        scheduled = await flows.schedule("a")
        for number in (1, 2, 3, 4):
            await flows.send_message("a", number)
        assert await scheduled.completion() == [1, 3, 3, 7]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_an_error_in_an_operator_ends_the_loop_in_the_same_way_on_every_replay(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    seen: list[list[str]] = []

    @flow
    async def failing() -> None:
        errors: list[str] = []
        turns = aiter(messages(int).map(lambda n: 12 // n))
        for _ in range(4):
            try:
                errors.append(str(await anext(turns)))
            except ZeroDivisionError as error:
                errors.append(str(error))
        seen.append(errors)
        assert await message(int) == 0
        await message(str)

    app = apps(suspend_after=suspend_after)
    flows = app.register(failing)
    async with app:
        scheduled = await flows.schedule("a")
        for one in (3, 4, 0, "end"):
            await flows.send_message("a", one)
            await clock.settle()
        await scheduled.completion()
    error = "integer division or modulo by zero"
    assert set(map(tuple, seen)) == {("4", "3", error, error)}


async def test_a_turn_that_was_cut_gives_back_what_it_pulled_and_the_loop_is_over(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[tuple[object, ...]] = []

    @flow
    async def cut() -> None:
        turns = aiter(messages(int).map(abs).where(lambda n: n > 10))
        await message(str)
        try:
            async with asyncio.timeout(0):
                await anext(turns)
        except TimeoutError:
            got: list[object] = [await message(int)]
        else:
            got = []
        try:
            await anext(turns)
        except UsageError as error:
            got.append(str(error))
        seen.append(tuple(got))
        await message(str)

    app = apps()
    flows = app.register(cut)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", 1)
        await flows.send_message("a", "go")
        await clock.settle()
        await clock.advance(HOUR)
        await flows.send_message("a", "end")
        await scheduled.completion()
    assert len(seen) >= 2
    ((number, text),) = set(seen)
    assert number == 1
    assert "begin a new `async for`" in str(text)


async def test_two_turns_at_a_time_are_refused(apps: Apps) -> None:
    @flow
    async def greedy() -> None:
        turns = aiter(messages(int))
        first = anext(turns)
        try:
            await anext(turns)
        finally:
            await first

    app = apps()
    flows = app.register(greedy)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", 1)
        with pytest.raises(FlowFailed, match="go through the messages one at a time") as caught:
            await scheduled.completion()
        assert isinstance(caught.value.__cause__, UsageError)


@pytest.mark.parametrize(
    "changed",
    [
        lambda of: of.where(lambda n: n > 0).skip(1),
        lambda of: of.skip(0).where(lambda n: n == 1),
        lambda of: of.map(lambda n: 1 // (n - 1)),
        lambda of: of.take(1).take_until(lambda n: n == 1),
    ],
)
async def test_other_operators_than_those_that_were_recorded_park_the_flow(
    shared: Apps, changed: object
) -> None:
    def deployed(shape: object) -> object:
        @flow(name="looping")
        async def looping() -> None:
            async for _ in loose(shape)(messages(int)):
                pass

        return looping

    app = shared()
    flows = app.register(loose(deployed(lambda of: of)))
    async with app:
        await flows.schedule("a")
        for number in (1, 2):
            await flows.send_message("a", number)
        await shared.clock.settle()
    app = shared()
    flows = app.register(loose(deployed(changed)))
    async with app:
        await flows.send_message("a", 3)
        with pytest.raises(FlowParked, match="a stream"):
            await flows.completion("a")


async def test_an_end_in_place_of_a_loop_parks_the_flow(shared: Apps) -> None:
    @flow(name="changing")
    async def before() -> None:
        async for _ in messages(int):
            pass

    @flow(name="changing")
    async def after() -> None:
        await messages(int).first()

    app = shared()
    flows = app.register(before)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", 1)
        await shared.clock.settle()
    app = shared()
    flows = app.register(after)
    async with app:
        await flows.send_message("a", 3)
        with pytest.raises(FlowParked, match="an answer of a stream"):
            await flows.completion("a")
