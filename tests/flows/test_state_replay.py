"""Published state and runs that repeat themselves: the outside never sees an older state again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, loose
from tests.flows.dying import Dying, nth, writes
from unbroken import Unbroken, capture, current_flow, effect, flow, gather, message
from unbroken.stores.batch import Batch

SECOND = timedelta(seconds=1)


class Shown:
    """What the outside could see, in the order in which it was written."""

    def __init__(self) -> None:
        self.states: list[int] = []

    def watch(self, app: Unbroken) -> None:
        """Look at each write of an app."""
        store = loose(app)._store
        commit = store.commit

        async def watched(batch: Batch) -> Any:
            receipt = await commit(batch)
            if receipt is not None:
                self.states += [int(state.body) for state in batch.states]
            return receipt

        store.commit = watched

    @property
    def never_turned_back(self) -> bool:
        return self.states == sorted(self.states)


Mortals = Callable[[Shown, Callable[[Batch], bool]], Dying]


@pytest.fixture
async def mortals(shared: Apps) -> AsyncIterator[Mortals]:
    """Make apps that die, and bury them at the end."""
    made: list[Dying] = []

    def make(shown: Shown, is_last: Callable[[Batch], bool]) -> Dying:
        made.append(Dying(shared, is_last))
        shown.watch(made[-1].app)
        return made[-1]

    yield make
    for dying in made:
        dying.bury()


async def show(state: int) -> None:
    await current_flow().publish(state)


async def touch() -> str:
    return "touched"


@effect(flush=False)
async def touch_unflushed() -> str:
    return "touched"


@flow
async def climbing() -> str:
    await show(1)
    await show(2)
    await capture("a", touch)
    await show(3)
    await touch_unflushed()
    await show(4)
    await show(5)
    await capture("b", touch)
    await capture("c", touch)
    await show(6)
    await capture("d", touch)
    await show(7)
    await show(8)
    return "done"


LAST = 8


@pytest.mark.parametrize("number", range(1, 12))
async def test_a_killed_flow_shows_no_older_state_when_it_goes_on(
    shared: Apps, mortals: Mortals, number: int
) -> None:
    shown = Shown()
    dying = mortals(shown, nth(number))
    await dying.run(climbing)
    app = shared()
    shown.watch(app)
    flows = app.register(climbing)
    async with app:
        await shared.clock.advance(LEASE + SECOND)
        assert await flows.completion("a") == "done"
        assert await flows.state("a", int) == LAST
    assert shown.never_turned_back, shown.states


@pytest.mark.parametrize("number", range(1, 9))
async def test_a_flow_that_is_killed_twice_shows_no_older_state(
    shared: Apps, mortals: Mortals, number: int
) -> None:
    shown = Shown()
    first = mortals(shown, nth(5))
    await first.run(climbing)
    second = mortals(shown, nth(number))
    await second.take_over(climbing)
    app = shared()
    shown.watch(app)
    flows = app.register(climbing)
    async with app:
        await shared.clock.advance(3 * (LEASE + SECOND))
        assert await flows.completion("a") == "done"
        assert await flows.state("a", int) == LAST
    assert shown.never_turned_back, shown.states


async def test_a_replay_writes_none_of_the_states_that_were_seen_and_replaced(apps: Apps) -> None:
    @flow
    async def waits() -> None:
        for number in range(1, 4):
            await show(number)
            await capture("a", touch)
        await message(str)
        await show(4)

    shown = Shown()
    app = apps(suspend_after=AT_ONCE)
    shown.watch(app)
    flows = app.register(waits)
    async with app:
        scheduled = await flows.schedule("a")
        await apps.clock.settle()
        assert shown.states == [1, 2, 3]
        await flows.send_message("a", "go on")
        await scheduled.completion()
    assert shown.states == [1, 2, 3, 3, 4]  # the newest was written again, for nobody knew


async def test_a_run_without_effects_repeats_no_older_state(apps: Apps) -> None:
    @flow
    async def records_nothing() -> None:
        await show(1)
        await show(2)
        await message(str)

    shown = Shown()
    app = apps(suspend_after=AT_ONCE)
    shown.watch(app)
    flows = app.register(records_nothing)
    async with app:
        await flows.schedule("a")
        await apps.clock.settle()
        for number in range(3):
            await flows.send_message("a", number)  # of no interest to it: it leaves memory again
            await apps.clock.settle()
        assert await flows.state("a", int) == 2
    assert shown.never_turned_back, shown.states


async def test_what_a_repeated_run_shows_is_written_when_something_new_begins(
    shared: Apps, mortals: Mortals
) -> None:
    gate, begun = Gate(), []

    async def long() -> None:
        begun.append(1)
        if len(begun) > 1:
            await gate.pass_through()

    @flow
    async def works(level: int = 1) -> None:
        await capture("a", touch)
        await show(level)
        await capture("long", long)

    dying = mortals(Shown(), writes("a"))
    await dying.run(works)
    begun.append(0)
    app = shared()
    flows = app.register(works)
    await app.start()
    taking_over = asyncio.create_task(shared.clock.advance(LEASE + SECOND))
    await gate.reached()
    while await _state_of(flows) is None:
        pass  # it is on its way while the body stands at the gate
    gate.open()
    await taking_over
    assert await flows.completion("a") is None


async def _state_of(flows: Any) -> int | None:
    return await flows.state("a", int)


async def test_what_a_repeated_run_shows_last_is_written_with_its_end(
    shared: Apps, mortals: Mortals
) -> None:
    @flow
    async def ends() -> str:
        await capture("a", touch)
        await show(2)
        return "done"

    shown = Shown()
    dying = mortals(shown, writes("a"))
    await dying.run(ends)
    assert shown.states == []
    app = shared()
    flows = app.register(ends)
    async with app:
        await shared.clock.advance(LEASE + SECOND)
        assert await flows.completion("a") == "done"
        assert await flows.state("a", int) == 2


async def test_a_branch_that_repeats_itself_shows_no_older_state_of_its_own(apps: Apps) -> None:
    @flow
    async def branches() -> None:
        async def first() -> None:
            await message(str)

        async def second() -> None:
            await show(1)
            await asyncio.sleep(0)
            await capture("a", touch)
            await show(2)
            await asyncio.sleep(0)
            await show(3)
            await message(int)
            await show(4)

        await gather(first(), second())
        await show(5)

    shown = Shown()
    app = apps(suspend_after=AT_ONCE)
    shown.watch(app)
    flows = app.register(branches)
    async with app:
        scheduled = await flows.schedule("a")
        await apps.clock.settle()
        assert shown.states == [1, 2, 3]
        await flows.send_message("a", "first")
        await apps.clock.settle()
        await flows.send_message("a", 2)
        await scheduled.completion()
        assert await flows.state("a", int) == 5
    assert shown.never_turned_back, shown.states


async def test_a_state_shows_at_once_in_a_flow_that_has_left_memory_before(apps: Apps) -> None:
    gate = Gate()

    @flow
    async def shows() -> None:
        for number in range(1, 4):
            await message(str)
            await show(number)
        await gate.pass_through()

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(shows)
    async with app:
        scheduled = await flows.schedule("a")
        for number in range(3):
            await apps.clock.settle()
            await flows.send_message("a", str(number))
        await gate.reached()
        assert await flows.state("a", int) == 3
        gate.open()
        await scheduled.completion()
