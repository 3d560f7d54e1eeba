"""Sagas: what was done is undone in reverse order, once, on failure or cancel."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from tests.flows.apps import AT_ONCE, Apps, loose, stored_effects, until
from unbroken import (
    FlowCancelled,
    FlowFailed,
    NotInFlow,
    Retry,
    Saga,
    UsageError,
    capture,
    current_flow,
    effect,
    flow,
    gather,
    message,
    race,
    saga,
    sleep,
)
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)

ran: list[str] = []
broken: set[str] = set()


class Broken(Exception):
    pass


class Paid(msgspec.Struct):
    text: str


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()
    broken.clear()


async def book(what: str) -> str:
    ran.append(f"book {what}")
    if what in broken:
        raise Broken(what)
    return f"{what}-1"


async def note(what: str) -> None:
    ran.append(what)


async def release(booking: str) -> None:
    ran.append(f"release {booking}")
    if booking in broken:
        raise Broken(booking)


@flow
async def trip(*stops: str) -> list[str]:
    bookings: list[str] = []
    async with saga() as way_back:
        for stop in stops:
            booking = await capture(book, stop)
            way_back.undo(release, booking)
            bookings.append(booking)
    return bookings


async def test_a_block_that_reaches_its_end_undoes_nothing(apps: Apps) -> None:
    app = apps()
    flows = app.register(trip)
    async with app:
        assert await flows.run("a", "hotel", "flight") == ["hotel-1", "flight-1"]
        assert ran == ["book hotel", "book flight"]
        assert stored_effects(app, "a") == {
            "saga": "saga",
            "saga/book": "capture",
            "saga/book#2": "capture",
        }


async def test_what_was_done_is_undone_in_reverse_order_and_the_error_goes_on(apps: Apps) -> None:
    broken.add("car")
    app = apps()
    flows = app.register(trip)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a", "hotel", "flight", "car")
        assert caught.value.error.type.endswith("Broken")
        assert ran[-2:] == ["release flight-1", "release hotel-1"]
        keys = stored_effects(app, "a")
        assert {"saga/undo:release", "saga/undo:release#2"} <= keys.keys()


async def test_a_cancel_undoes_too(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def waiting() -> None:
        async with saga() as way_back:
            way_back.undo(release, await capture(book, "hotel"))
            await sleep(HOUR)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(waiting)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert ran == ["book hotel", "release hotel-1"]


async def test_a_cancel_that_comes_before_the_end_of_the_block_undoes_too(apps: Apps) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return await book("slow")

    @flow
    async def last() -> None:
        async with saga() as way_back:
            way_back.undo(release, await capture(slow))

    app = apps()
    flows = app.register(last)
    async with app:
        await flows.schedule("a")
        await begun.wait()
        await flows.cancel("a")
        go_on.set()
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert ran == ["book slow", "release slow-1"]


async def test_a_suspension_undoes_nothing(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def waiting() -> str:
        async with saga() as way_back:
            way_back.undo(release, await capture(book, "hotel"))
            await message(Paid)
        return "done"

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(waiting)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.send_message("a", Paid("x"))
        assert await flows.completion("a") == "done"
        assert ran == ["book hotel"]


async def test_an_undo_is_recorded_and_found_again_after_a_wait(
    apps: Apps, clock: VirtualClock
) -> None:
    broken.add("car")

    @flow
    async def caught() -> str:
        try:
            async with saga() as way_back:
                way_back.undo(release, await capture(book, "hotel"))
                await capture(book, "car")
        except Broken as error:
            await sleep(HOUR)
            return f"without {error}"
        return "?"

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(caught)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == "without car"
        assert ran == ["book hotel", "book car", "release hotel-1"]


async def test_an_undo_may_be_declared_with_a_retry(apps: Apps, clock: VirtualClock) -> None:
    tries: list[int] = []

    @effect(retry=Retry(3, initial_delay=HOUR))
    async def stubborn(booking: str) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise Broken(booking)

    @flow
    async def one() -> None:
        async with saga() as way_back:
            way_back.undo(stubborn, await capture(book, "hotel"))
            raise LookupError

    app = apps()
    flows = app.register(one)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR * 4)
        with pytest.raises(FlowFailed) as caught:
            await flows.completion("a")
        assert caught.value.error.type.endswith("LookupError")
        assert len(tries) == 3


async def test_an_undo_that_fails_does_not_keep_the_others_from_being_tried(apps: Apps) -> None:
    broken.update({"flight-1", "car"})
    app = apps()
    flows = app.register(trip)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a", "hotel", "flight", "car")
        assert caught.value.error.type.endswith("UndoFailed")
        assert "saga/undo:release#2" in caught.value.error.message
        assert ran[-2:] == ["release flight-1", "release hotel-1"]


async def test_a_block_inside_of_another_is_undone_with_it(apps: Apps) -> None:
    @flow
    async def outer() -> None:
        async with saga() as way_back:
            way_back.undo(release, await capture(book, "hotel"))
            async with saga() as inner:
                inner.undo(release, await capture(book, "flight"))
            raise Broken

    app = apps()
    flows = app.register(outer)
    async with app:
        with pytest.raises(FlowFailed):
            await flows.run("a")
        assert ran == ["book hotel", "book flight", "release flight-1", "release hotel-1"]


async def test_branches_register_in_one_saga(apps: Apps) -> None:
    async def one(way_back: Saga, what: str) -> None:
        way_back.undo(release, await capture(book, what))

    @flow
    async def both() -> None:
        async with saga() as way_back:
            await gather(one(way_back, "hotel"), one(way_back, "flight"))
            raise Broken

    app = apps()
    flows = app.register(both)
    async with app:
        with pytest.raises(FlowFailed):
            await flows.run("a")
        assert sorted(ran[-2:]) == ["release flight-1", "release hotel-1"]


async def test_a_restarted_process_goes_on_with_undoing(shared: Apps, clock: VirtualClock) -> None:
    entered = asyncio.Event()

    async def stuck(booking: str) -> None:
        ran.append(f"undo {booking}")
        if current_flow().incarnation == 1:
            entered.set()
            await asyncio.get_running_loop().create_future()

    @flow
    async def undoing() -> None:
        async with saga() as way_back:
            way_back.undo(stuck, await capture(book, "hotel"))
            way_back.undo(release, await capture("second", book, "flight"))
            raise Broken

    _, flows = await shared.hang(undoing)
    await flows.schedule("a")
    await until(entered.is_set)
    app = shared()
    handle = app.register(undoing)
    async with app:
        await clock.advance(timedelta(seconds=30))
        with pytest.raises(FlowFailed):
            await handle.completion("a")
    booked = ["book hotel", "book flight"]
    assert ran == [*booked, "release flight-1", "undo hotel-1", "undo hotel-1"]


async def test_a_retried_flow_begins_the_block_anew(apps: Apps, clock: VirtualClock) -> None:
    """What was undone is not there any more, so it is not taken for done."""
    broken.add("car")

    @flow(retry=Retry(2, initial_delay=HOUR))
    async def again() -> list[str]:
        first = await capture("before", book, "insurance")
        async with saga() as way_back:
            hotel = await capture(book, "hotel")
            way_back.undo(release, hotel)
            car = await capture(book, "car")
        return [first, hotel, car]

    app = apps()
    flows = app.register(again)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        assert ran == ["book insurance", "book hotel", "book car", "release hotel-1"]
        assert stored_effects(app, "a") == {"before": "capture"}
        broken.clear()
        await clock.advance(HOUR)
        assert await flows.completion("a") == ["insurance-1", "hotel-1", "car-1"]
        assert ran[4:] == ["book hotel", "book car"]


async def test_a_lambda_needs_a_name(apps: Apps) -> None:
    @flow
    async def named() -> None:
        async with saga("trip") as way_back:
            way_back.undo("give up", lambda: ran.append("given up"))
            raise Broken

    @flow
    async def unnamed() -> None:
        async with saga() as way_back:
            way_back.undo(lambda: None)

    app = apps()
    flows, others = app.register(named), app.register(unnamed)
    async with app:
        with pytest.raises(FlowFailed):
            await flows.run("a")
        assert ran == ["given up"]
        assert "trip/undo:give up" in stored_effects(app, "a")
        with pytest.raises(FlowFailed, match="a lambda has no name"):
            await others.run("b")


async def test_where_a_saga_cannot_work_it_says_so(apps: Apps) -> None:
    kept: list[Saga] = []

    async def body() -> None:
        async with saga():
            pass

    @flow
    async def misused() -> list[str]:
        told: list[str] = []
        async with saga() as way_back:
            kept.append(way_back)
        for attempt in (
            lambda: way_back.undo(release, "x"),
            lambda: way_back.undo(*loose(["x"])),
        ):
            try:
                attempt()
            except UsageError as error:
                told.append(str(error))
        try:
            async with way_back:
                pass
        except UsageError as error:
            told.append(str(error))
        try:
            await capture(body)
        except NotInFlow as error:
            told.append(str(error))
        return told

    app = apps()
    flows = app.register(misused)
    async with app:
        told = await flows.run("a")
        assert len(told) == 4
    with pytest.raises(NotInFlow):
        async with saga():
            pass


@pytest.mark.parametrize("stay", [AT_ONCE, HOUR * 2], ids=["suspended", "warm"])
async def test_what_the_loser_of_a_race_registered_is_forgotten_with_it(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    """Else it would be undone in this process, and not in the one that goes on after a crash."""

    async def quick(way_back: Saga) -> str:
        way_back.undo(release, await capture(book, "quick"))
        return "quick"

    async def slow(way_back: Saga) -> None:
        way_back.undo(release, await capture(book, "slow"))
        async with saga("its own") as own:
            own.undo("own", note, "its own")
            await sleep(HOUR)

    @flow
    async def racing() -> None:
        async with saga() as way_back:
            await race(slow(way_back), quick(way_back))
            await sleep(HOUR)
            raise Broken

    app = apps(suspend_after=stay)
    flows = app.register(racing)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR * 3)
        with pytest.raises(FlowFailed):
            await flows.completion("a")
        assert "release slow-1" not in ran
        assert ran[-1] == "release quick-1"
