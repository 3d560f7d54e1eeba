"""What user code cuts itself, by a timeout or a cancel, is cut the same way on replay."""

import asyncio
import sys
from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, Gate, jump, row, stored_effects
from unbroken import FlowFailed, NameRequired, Status, capture, effect, flow, message, sleep
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def give(n: int) -> int:
    return n


async def test_asyncio_timeout_around_a_capture_cuts_it_the_same_way_on_replay(
    apps: Apps, clock: VirtualClock
) -> None:
    gate, ran = Gate(), []

    async def slow() -> str:
        ran.append("slow")
        await gate.pass_through()
        return "slow"

    @flow
    async def limited() -> str:
        try:
            async with asyncio.timeout(0):
                result = await capture(slow)
        except TimeoutError:
            result = "timed out"
        await sleep(HOUR)
        return result

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(limited)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        completion = asyncio.create_task(flows.completion("a"))
        assert await completion == "timed out"
        assert "slow.cut" in stored_effects(app, "a")
    assert ran == ["slow"]


async def test_a_capture_that_was_faster_than_its_timeout_is_that_on_replay_too(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def limited() -> int:
        async with asyncio.timeout(60):
            result = await capture(give, 1)
        await sleep(HOUR)
        return result

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(limited)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == 1


async def test_a_wait_that_a_timeout_cut_leaves_its_message_to_later_waits(shared: Apps) -> None:
    @flow
    async def limited() -> str:
        try:
            async with asyncio.timeout(0):
                return await message(str)
        except TimeoutError:
            pass
        return "second " + await message(str)

    app = shared()
    flows = app.register(limited)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
        assert stored_effects(app, "a") == {"message:str.cut": "cut"}
    app = shared()
    flows = app.register(limited)
    async with app:
        await flows.send_message("a", "hello")
        assert await flows.completion("a") == "second hello"


async def test_a_task_that_the_flow_cancels_itself_is_cut_on_replay_too(
    apps: Apps, clock: VirtualClock
) -> None:
    gate, ran = Gate(), []

    async def slow() -> None:
        ran.append(1)
        await gate.pass_through()

    @flow
    async def cancelling() -> str:
        task = asyncio.create_task(capture("slow", slow))
        await capture("wait", gate.reached)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            outcome = "cancelled"
        else:
            outcome = "done"
        await sleep(HOUR)
        return outcome

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(cancelling)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == "cancelled"
    assert ran == [1]


async def test_wait_for_of_a_capture_itself_is_fine(apps: Apps) -> None:
    @flow
    async def limited() -> int:
        return await asyncio.wait_for(capture(give, 1), 60)

    app = apps()
    flows = app.register(limited)
    async with app:
        assert await flows.run("a") == 1


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="wait_for begins no task there")
async def test_wait_for_around_code_that_captures_names_asyncio_timeout(apps: Apps) -> None:
    async def captures() -> int:
        return await capture(give, 1)

    @flow
    async def limited() -> int:
        return await asyncio.wait_for(captures(), 60)

    app = apps()
    flows = app.register(limited)
    async with app:
        with pytest.raises(FlowFailed, match=r"asyncio\.timeout") as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, NameRequired)


async def test_a_flow_that_raises_cancelled_error_by_itself_fails_with_advice(apps: Apps) -> None:
    @flow
    async def cancelled() -> None:
        raise asyncio.CancelledError

    app = apps()
    flows = app.register(cancelled)
    async with app:
        with pytest.raises(FlowFailed, match="raise an error of your own"):
            await flows.run("a")


async def test_a_cancelled_error_made_up_by_a_body_is_not_recorded(apps: Apps) -> None:
    async def cancels() -> None:
        raise asyncio.CancelledError

    @flow
    async def surviving() -> str:
        try:
            await capture(cancels)
        except asyncio.CancelledError:
            return "caught"
        return "missed"

    app = apps()
    flows = app.register(surviving)
    async with app:
        assert await flows.run("a") == "caught"
        assert stored_effects(app, "a") == {}


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_an_exit_in_a_body_ends_the_process_and_is_not_recorded(
    tmp_path, signal: type[BaseException]
) -> None:
    from tests.flows.apps import Apps as Place
    from unbroken import Unbroken

    async def leave() -> None:
        raise signal

    @flow
    async def leaving() -> str:
        await capture(leave)
        return "stayed"

    url = f"sqlite:///{tmp_path / 'exit.db'}"
    clock = VirtualClock()
    place = Place(url, clock)

    async def program() -> None:
        app = place()
        flows = app.register(leaving)
        await app.start()
        await flows.run("a")

    with pytest.raises(signal):
        asyncio.run(program())

    async def look() -> None:
        app = Unbroken(url, execute=False, clock=clock)
        app.register(leaving)
        async with app:
            assert (await row(app, "leaving", "a")).status is Status.LIVE
            assert stored_effects(app, "a") == {}

    asyncio.run(look())


async def test_a_late_result_of_a_thread_is_dropped_after_its_timeout(
    apps: Apps, clock: VirtualClock
) -> None:
    import threading

    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        may_end.wait(30)
        ended.set()
        return "late"

    @flow
    async def limited() -> str:
        try:
            return await effect(slow, timeout=SECOND)()
        except TimeoutError:
            return "timed out"

    app = apps()
    flows = app.register(limited)
    async with app:
        scheduled = await flows.schedule("a")
        while not begun.is_set():
            await asyncio.to_thread(lambda: None)
        await jump(clock, SECOND)
        assert await scheduled.completion() == "timed out"
        may_end.set()
        await asyncio.to_thread(ended.wait)
        assert stored_effects(app, "a") == {"slow": "capture"}
        assert await flows.completion("a") == "timed out"
