"""Losers of a race: what they held goes back, what they recorded is forgotten."""

import asyncio
import gc
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, stored_effects, stored_messages, until
from unbroken import FlowCancelled, capture, effect, flow, gather, message, messages, race, sleep
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
PAST_LEASE = LEASE + timedelta(seconds=5)


def give(n: int) -> int:
    return n


async def test_the_winner_is_the_same_on_replay_and_losers_do_not_run_again(
    apps: Apps, clock: VirtualClock
) -> None:
    ran: list[str] = []

    async def branch(name: str, hours: int) -> str:
        ran.append(name)
        await sleep(hours * HOUR)
        return await capture(lambda_free, name)

    async def lambda_free(name: str) -> str:
        ran.append(f"{name} captured")
        return name.upper()

    @flow
    async def two() -> tuple[int, str]:
        won = await race(branch("slow", 3), branch("quick", 1))
        await sleep(5 * HOUR)
        return won

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(two)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert stored_effects(app, "a").keys() == {
            "race",
            "race/1/sleep",
            "race/1/lambda_free",
            "sleep",
        }
        del ran[:]
        await clock.advance(5 * HOUR)
        assert await flows.completion("a") == (1, "QUICK")
    assert ran == ["quick"]


async def test_losers_are_seen_to_their_end_before_the_race_is_over(apps: Apps) -> None:
    gate, told = Gate(), []

    async def stand() -> None:
        try:
            await gate.pass_through()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise
        finally:
            told.append("ended")

    async def win() -> str:
        await gate.reached()
        return "won"

    @flow
    async def two() -> str:
        _, value = await race(capture(stand), capture(win))
        told.append(str(value))
        return str(value)

    app = apps()
    flows = app.register(two)
    async with app:
        assert await flows.run("a") == "won"
        assert stored_effects(app, "a").keys() == {"win", "race"}
    assert told == ["cancelled", "ended", "won"]


async def test_a_loser_that_compensates_may_and_leaves_nothing(apps: Apps) -> None:
    gate, undone = Gate(), []

    async def undo() -> None:
        undone.append(1)

    async def stand() -> None:
        try:
            await capture(gate.pass_through)
        except asyncio.CancelledError:
            await capture(undo)
            raise

    @flow
    async def two() -> int:
        async def win() -> None:
            await capture(gate.reached)

        return (await race(stand(), win()))[0]

    app = apps()
    flows = app.register(two)
    async with app:
        assert await flows.run("a") == 1
        assert stored_effects(app, "a").keys() == {"race/1/reached", "race"}
    assert undone == [1]


async def test_a_message_that_a_loser_held_goes_back_in_its_place(
    apps: Apps, clock: VirtualClock
) -> None:
    async def patient() -> str:
        first = await message(str)
        return first + await message(str, where=lambda text: text == "never")

    @flow
    async def two() -> list[str]:
        index, _ = await race(patient(), sleep(HOUR))
        return [str(index), await message(str), await message(str)]

    app = apps()
    flows = app.register(two)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", "first")
        await flows.send_message("a", "second")
        await clock.settle()
        assert stored_messages(app, "a") == ['"second"']
        await clock.advance(HOUR)
        assert await flows.completion("a") == ["1", "first", "second"]
        assert stored_messages(app, "a") == []


async def test_a_message_goes_back_whose_consumption_was_under_way(
    apps: Apps, clock: VirtualClock
) -> None:
    seen = asyncio.Event()

    def is_seen(_: str) -> bool:
        seen.set()
        return True

    async def loser() -> None:
        await message(str, where=is_seen)
        await message(bytes)

    async def winner() -> None:
        await seen.wait()

    @flow
    async def two() -> tuple[int, str]:
        index, _ = await race(loser(), winner())
        await sleep(HOUR)
        return index, await message(str)

    app = apps(suspend_after=2 * HOUR)
    flows = app.register(two)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", "hello")
        await until(lambda: "race" in stored_effects(app, "a"))
        assert stored_messages(app, "a") == ['"hello"']
        assert stored_effects(app, "a").keys() <= {"race", "sleep"}
        await clock.advance(HOUR)
        assert await flows.completion("a") == (1, "hello")


async def test_what_an_inner_race_gave_back_is_not_given_back_by_the_outer_one(
    apps: Apps, clock: VirtualClock
) -> None:
    async def holds() -> None:
        await message(str)
        await message(bytes)

    async def loser() -> None:
        await race(holds(), sleep(HOUR))
        await message(bytes)

    async def winner() -> str:
        await sleep(2 * HOUR)
        return await message(str)

    @flow
    async def outer() -> list[str]:
        _, text = await race(loser(), winner())
        return [str(text), str(await message(str, timeout=HOUR))]

    app = apps(suspend_after=9 * HOUR)
    flows = app.register(outer)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", "hello")
        await clock.advance(3 * HOUR)
        assert await flows.completion("a") == ["hello", "None"]


async def test_messages_of_a_losers_stream_go_back(apps: Apps, clock: VirtualClock) -> None:
    async def answered() -> None:
        await messages(str).take(2).completion()
        await message(bytes)

    async def pulling() -> None:
        await messages(str).take(9).completion()

    async def stepping() -> None:
        async for _ in messages(int):
            pass

    @flow
    async def four() -> list[str]:
        index, _ = await race(answered(), pulling(), stepping(), sleep(HOUR))
        texts = [await message(str) for _ in range(3)]
        return [str(index), *texts, str(await message(int))]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(four)
    async with app:
        await flows.schedule("a")
        for text in ("one", "two", "three"):
            await flows.send_message("a", text)
        await flows.send_message("a", 4)
        await clock.settle()
        assert "race/0/messages:str" in stored_effects(app, "a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == ["3", "one", "two", "three", "4"]


async def test_what_a_loser_kept_for_the_next_write_is_never_written(apps: Apps) -> None:
    ran: list[int] = []

    @effect(flush=False)
    async def touch(n: int) -> int:
        ran.append(n)
        return n

    async def loser() -> None:
        await touch(1)
        await message(str)

    @flow
    async def two() -> int:
        index, _ = await race(loser(), touch(2))
        return index

    app = apps()
    flows = app.register(two)
    async with app:
        assert await flows.run("a") == 1
        assert stored_effects(app, "a").keys() == {"touch", "race"}
    assert ran == [1, 2]


async def test_a_message_that_goes_back_wakes_who_waits_for_it_elsewhere(
    apps: Apps, clock: VirtualClock
) -> None:
    async def taker() -> None:
        await message(str)
        await sleep(2 * HOUR)

    async def racing() -> int:
        return (await race(taker(), sleep(HOUR)))[0]

    async def waiting() -> str:
        await sleep(SECOND)
        return await message(str)

    @flow
    async def both() -> tuple[int, str]:
        return await gather(racing(), waiting())

    app = apps()
    flows = app.register(both)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", "hello")
        await clock.advance(HOUR)
        assert await flows.completion("a") == (1, "hello")


@pytest.mark.parametrize("stay", [AT_ONCE, 3 * HOUR], ids=["evicted", "warm"])
async def test_a_message_goes_back_although_it_was_taken_by_a_former_incarnation(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    async def patient() -> str:
        return await message(str) + await message(str)

    @flow
    async def two() -> str:
        await race(patient(), sleep(HOUR))
        return await message(str)

    app = apps(suspend_after=stay)
    flows = app.register(two)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", "hello")
        await clock.advance(HOUR)
        assert await flows.completion("a") == "hello"
        assert stored_effects(app, "a").keys() == {"race", "sleep", "message:str"}


async def test_keys_that_a_loser_took_where_the_race_is_written_are_forgotten_with_all_beneath(
    apps: Apps, clock: VirtualClock
) -> None:
    async def wrapped(waiting: Any) -> None:
        await waiting

    async def flaky() -> None:
        raise OSError("again")

    @flow
    async def many() -> int:
        await message(int)
        hour = sleep(HOUR)
        index, _ = await race(
            hour,
            gather(message(str, timeout=2 * HOUR), wrapped(sleep(3 * HOUR))),
            race(message(bytes, timeout=2 * HOUR), sleep(4 * HOUR)),
            wrapped(message(float, timeout=5 * HOUR)),
        )
        await sleep(6 * HOUR)
        return index

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(many)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.send_message("a", 1)
        await clock.advance(timedelta(minutes=30))
        assert "message:str.due" in stored_effects(app, "a")
        await clock.advance(timedelta(minutes=30))
        assert stored_effects(app, "a").keys() == {"message:int", "race#2", "sleep", "sleep#4"}
        await clock.advance(6 * HOUR)
        assert await flows.completion("a") == 0
        gc.collect()  # a forgotten coroutine warns when it goes, and a warning is an error here


async def test_names_that_begin_alike_stay(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def alike() -> int:
        await capture("mess", give, 1)
        await race(sleep(HOUR), message(str, timeout=2 * HOUR))
        await capture("sleepy", give, 2)
        await race(sleep(HOUR), message(str, timeout=2 * HOUR))
        await race(message(str, timeout=HOUR), sleep(2 * HOUR))
        return 0

    app = apps()
    flows = app.register(alike)
    async with app:
        await flows.schedule("a")
        await clock.advance(3 * HOUR)
        assert await flows.completion("a") == 0
        assert stored_effects(app, "a").keys() == {
            "mess",
            "race",
            "race#2",
            "race#3",
            "sleep",
            "sleep#2",
            "sleepy",
            "message:str#3",
        }


async def test_the_child_of_a_loser_is_cancelled_or_left_by_its_policy(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def child() -> str:
        await sleep(10 * HOUR)
        return "done"

    @flow
    async def parent() -> int:
        index, _ = await race(
            sleep(HOUR),
            child.run("direct"),
            in_branch(),
            child.options(on_cancel="leave").run("left"),
        )
        return index

    async def in_branch() -> str:
        return await child.run("in a branch")

    app = apps()
    parents = app.register(parent)
    children = app.register(child)
    async with app:
        await parents.schedule("p")
        await clock.advance(HOUR)
        assert await parents.completion("p") == 0
        assert stored_effects(app, "p") == {"sleep": "deadline", "race": "race"}
        for id in ("direct", "in a branch"):
            with pytest.raises(FlowCancelled):
                await children.completion(id)
        await clock.advance(9 * HOUR)
        assert await children.completion("left") == "done"


async def test_a_completion_that_lost_may_be_awaited_again(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def child() -> str:
        await sleep(HOUR)
        return "done"

    @flow
    async def parent() -> list[str]:
        started = await child.options(on_cancel="leave").schedule("c")
        first, _ = await race(started.completion(), message(str))
        second, text = await race(started.completion(), sleep(2 * HOUR))
        await sleep(HOUR)
        return [str(first), str(second), str(text)]

    app = apps(suspend_after=AT_ONCE)
    app.register(child)
    parents = app.register(parent)
    async with app:
        await parents.schedule("p")
        await parents.send_message("p", "enough")
        await clock.advance(3 * HOUR)
        assert await parents.completion("p") == ["1", "0", "done"]


async def test_a_cancel_that_a_loser_took_goes_back_to_the_flow(apps: Apps) -> None:
    gate, told = Gate(), []

    @flow
    async def two() -> None:
        async def loser() -> None:
            await gate.reached()
            try:
                await message(str)
            except FlowCancelled:
                told.append("loser")
                await wait_for_winner()

        async def winner() -> str:
            await capture(gate.pass_through)
            return "won"

        async def wait_for_winner() -> None:
            gate.open()
            await asyncio.get_running_loop().create_future()

        told.append(str((await race(loser(), winner()))[1]))
        try:
            await message(str)
        except FlowCancelled:
            told.append("flow")
            raise

    app = apps()
    flows = app.register(two)
    async with app:
        await flows.schedule("a")
        await gate.reached()
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert "message:str.cancel" in stored_effects(app, "a")
    assert told == ["loser", "won", "flow"]


async def test_at_most_once_of_a_loser_had_begun_nowhere(apps: Apps) -> None:
    gate, ran = Gate(), []

    async def ship() -> None:
        ran.append("ship")
        await gate.pass_through()

    @flow
    async def two() -> int:
        once = effect(ship, at_most_once=True)
        index, _ = await race(once(), capture(gate.reached))
        return index

    app = apps()
    flows = app.register(two)
    async with app:
        assert await flows.run("a") == 1
        assert stored_effects(app, "a").keys() == {"reached", "race"}
    assert ran == ["ship"]
