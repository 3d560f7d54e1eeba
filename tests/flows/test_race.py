"""`race`: the first branch that ends wins, and is the winner on every replay."""

import asyncio
import gc
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, loose, row, stored_effects, until
from unbroken import (
    FlowCancelled,
    FlowParked,
    NameRequired,
    Status,
    UsageError,
    capture,
    flow,
    gather,
    message,
    race,
    sleep,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
PAST_LEASE = LEASE + timedelta(seconds=5)


def give(n: int) -> int:
    return n


async def test_the_first_that_ends_wins_with_its_index(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def limited() -> str:
        match await race(message(str), sleep(HOUR)):
            case (0, text):
                return f"got {text}"
            case (1, None):
                return "nothing came"

    app = apps()
    flows = app.register(limited)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", "hello")
        assert await flows.completion("a") == "got hello"
        assert stored_effects(app, "a") == {"message:str": "message", "race": "race"}
        await flows.schedule("b")
        await clock.advance(HOUR)
        assert await flows.completion("b") == "nothing came"
        assert stored_effects(app, "b") == {"sleep": "deadline", "race": "race"}


async def test_a_flow_whose_branches_all_wait_leaves_memory(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def limited() -> int:
        index, _ = await race(message(str), sleep(HOUR, suspend_after=AT_ONCE))
        return index

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(limited)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        assert (await row(app, "limited", "a")).owner is None
        await flows.send_message("a", "hello")
        assert await flows.completion("a") == 0
        await flows.schedule("b")
        await clock.advance(HOUR)
        assert await flows.completion("b") == 1


async def test_the_most_patient_branch_says_how_long_the_flow_stays(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def limited() -> int:
        patient = message(str, suspend_after=timedelta(minutes=5))
        return (await race(sleep(HOUR, suspend_after=AT_ONCE), patient))[0]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(limited)
    async with app:
        await flows.schedule("a")
        await clock.advance(timedelta(minutes=4))
        assert (await row(app, "limited", "a")).owner is not None
        await clock.advance(timedelta(minutes=2))
        assert (await row(app, "limited", "a")).owner is None


async def test_of_branches_that_end_together_the_first_named_wins(apps: Apps) -> None:
    @flow
    async def three() -> tuple[int, int]:
        async def stand() -> int:
            await message(str)
            return 0

        return await race(stand(), loose(plain(1)), loose(plain(2)))

    async def plain(n: int) -> int:
        return n

    app = apps()
    flows = app.register(three)
    async with app:
        assert await flows.run("a") == (1, 1)


async def test_values_need_not_be_serializable(apps: Apps, clock: VirtualClock) -> None:
    class Handle:
        pass

    async def make() -> Handle:
        await sleep(HOUR)
        return Handle()

    @flow
    async def one() -> str:
        _, made = await race(make(), message(str))
        await sleep(HOUR)
        return type(made).__name__

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(one)
    async with app:
        await flows.schedule("a")
        await clock.advance(2 * HOUR)
        assert await flows.completion("a") == "Handle"


async def test_an_error_wins_too_and_is_the_same_on_replay(apps: Apps, clock: VirtualClock) -> None:
    ran: list[str] = []

    async def fail() -> None:
        ran.append("fail")
        raise OSError("disk")

    @flow
    async def two() -> str:
        try:
            await race(sleep(HOUR), capture(fail))
        except OSError as error:
            await sleep(2 * HOUR)
            return f"caught {error}"
        return "won"

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(two)
    async with app:
        await flows.schedule("a")
        await clock.advance(2 * HOUR)
        assert await flows.completion("a") == "caught disk"
        assert stored_effects(app, "a").keys() == {"fail", "race", "sleep#2"}
    assert ran == ["fail"]


async def test_the_flows_cancel_wins_like_any_error(apps: Apps, clock: VirtualClock) -> None:
    undone: list[str] = []

    async def undo() -> None:
        undone.append("undone")

    @flow
    async def two() -> None:
        try:
            await race(message(str), sleep(HOUR))
        except FlowCancelled:
            await capture(undo)
            raise

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(two)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert (await row(app, "two", "a")).status is Status.CANCELLED
        assert "race" in stored_effects(app, "a")
    assert undone == ["undone"]


async def test_a_race_in_a_gather_and_a_gather_in_a_race(apps: Apps, clock: VirtualClock) -> None:
    async def part(hours: int) -> int:
        await sleep(hours * HOUR)
        return hours

    @flow
    async def nested() -> list[int]:
        inner = race(gather(part(3), part(1)), gather(part(2), part(2)))
        (first, both), (second, other) = await gather(inner, race(part(9), part(1)))
        await sleep(HOUR)
        return [first, *both, second, other]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(nested)
    async with app:
        await flows.schedule("a")
        await clock.advance(10 * HOUR)
        assert await flows.completion("a") == [1, 2, 2, 1, 1]
        left = stored_effects(app, "a").keys()
        assert {key for key in left if key.startswith("gather/")} == set()
        assert "race#2/1/sleep" in left
        assert "gather#2/0/sleep" in left


async def test_a_timeout_around_a_race_cuts_it_the_same_way_on_replay(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def limited() -> str:
        try:
            async with asyncio.timeout(0):
                await race(message(str), sleep(HOUR))
        except TimeoutError:
            await sleep(2 * HOUR)
            return "timed out"
        return "won"

    app = apps(suspend_after=SECOND)
    flows = app.register(limited)
    async with app:
        await flows.schedule("a")
        await clock.advance(2 * HOUR)
        assert await flows.completion("a") == "timed out"
        assert "race.cut" in stored_effects(app, "a")


async def test_a_task_that_lost_is_cancelled_again_on_replay(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def two() -> int:
        task = asyncio.create_task(message(str))
        index, _ = await race(sleep(HOUR), task)
        await sleep(HOUR)
        return index

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(two)
    async with app:
        await flows.schedule("a")
        await clock.advance(2 * HOUR)
        assert await flows.completion("a") == 0


async def test_a_single_branch_may_race_alone(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def alone() -> tuple[int, int]:
        won = await race(capture(give, 7))
        await sleep(HOUR)
        return won

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(alone)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == (0, 7)


async def test_many_races_in_one_flow_stay_linear(apps: Apps) -> None:
    @flow
    async def many() -> int:
        total = 0
        for n in range(500):
            _, value = await race(capture(give, n), sleep(HOUR))
            total += value or 0
        return total

    app = apps()
    flows = app.register(many)
    async with app:
        assert await flows.run("a") == sum(range(500))
        assert len(stored_effects(app, "a")) == 1000


async def test_a_race_of_nothing_is_refused(apps: Apps) -> None:
    @flow
    async def nothing() -> None:
        with pytest.raises(UsageError, match="at least one"):
            loose(race)()

    app = apps()
    flows = app.register(nothing)
    async with app:
        await flows.run("a")
        assert stored_effects(app, "a") == {}


@pytest.mark.parametrize("combine", [race, gather], ids=["race", "gather"])
async def test_what_cannot_be_awaited_is_refused_before_anything_runs(
    apps: Apps, combine: Any
) -> None:
    @flow
    async def wrong() -> None:
        with pytest.raises(TypeError, match="can be awaited, not a function"):
            combine(capture(give, 1), give)
        with pytest.raises(TypeError, match=r"unpack a list with \*"):
            combine([capture("two", give, 2)])

    app = apps()
    flows = app.register(wrong)
    async with app:
        await flows.run("a")
        assert stored_effects(app, "a") == {}
        gc.collect()


async def test_a_race_in_a_task_of_the_users_needs_its_key_before(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def tasks() -> int:
        async def inside() -> None:
            await race(sleep(HOUR), message(str))

        with pytest.raises(NameRequired):
            await asyncio.create_task(inside())
        return (await asyncio.create_task(race(sleep(HOUR), message(str))))[0]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(tasks)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == 0


async def test_fewer_branches_than_when_it_was_decided_park_the_flow(
    shared: Apps, clock: VirtualClock
) -> None:
    @flow(name="racing")
    async def before() -> None:
        await race(message(str), message(int), sleep(HOUR))
        await sleep(HOUR)

    @flow(name="racing")
    async def after() -> None:
        await race(message(str), message(int))
        await sleep(HOUR)

    app = shared(suspend_after=AT_ONCE)
    flows = app.register(before)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
    app = shared(suspend_after=AT_ONCE)
    flows = app.register(after)
    async with app:
        await clock.advance(HOUR)
        with pytest.raises(FlowParked, match="a race of 2, the journal holds branch 3"):
            await flows.completion("a")


async def test_a_crash_before_the_decision_repeats_the_race_without_losing_a_message(
    shared: Apps,
) -> None:
    gate = Gate()

    async def taker() -> str:
        text = await message(str)
        await message(bytes)
        return text

    async def stand() -> None:
        await gate.pass_through()

    @flow
    async def two() -> str:
        await race(taker(), capture(stand))
        return await message(str)

    hung, hung_flows = await shared.hang(two)
    await hung_flows.schedule("a")
    await hung_flows.send_message("a", "hello")
    await gate.reached()
    await until(lambda: "race/0/message:str" in stored_effects(hung, "a"))
    gate.open()
    other = shared()
    flows = other.register(two)
    async with other:
        await shared.clock.advance(PAST_LEASE)
        assert await flows.completion("a") == "hello"
