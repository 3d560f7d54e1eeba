"""Replay: what an incarnation sees again, and what it has for itself."""

from contextvars import ContextVar
from datetime import timedelta

from tests.flows.apps import AT_ONCE, Apps
from unbroken import capture, current_flow, flow, gather, message, now, sleep
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


async def test_each_incarnation_gets_arguments_of_its_own(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def greedy(items: list[int]) -> list[int]:
        items.append(len(items))
        await sleep(HOUR)
        return items

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(greedy)
    async with app:
        mine = [7]
        await flows.schedule("a", mine)
        await clock.advance(HOUR)
        assert await flows.completion("a") == [7, 1]
    assert mine == [7]


async def test_the_bodys_own_object_never_reaches_the_flow(apps: Apps, clock: VirtualClock) -> None:
    made: list[list[int]] = []

    def make() -> list[int]:
        made.append([1])
        return made[-1]

    @flow
    async def taking() -> bool:
        taken = await capture(make)
        is_own = taken is not made[0]
        taken.append(2)
        again = current_flow().effects.get("make", list)
        await sleep(HOUR)
        return is_own and again == [1]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(taking)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") is True
    assert made == [[1]]


color: ContextVar[str] = ContextVar("color", default="none")


async def test_what_a_body_sets_in_context_variables_is_dropped_live_too(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[str] = []

    async def paint() -> str:
        seen.append(f"body {color.get()}")
        color.set("blue")
        return color.get()

    @flow
    async def painting() -> None:
        color.set("red")
        await capture(paint)
        seen.append(color.get())
        await sleep(HOUR)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(painting)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        await flows.completion("a")
    assert seen == ["body red", "red", "red"]


async def test_what_a_flow_sets_in_context_variables_stays_with_it(apps: Apps) -> None:
    seen: list[str] = []

    @flow
    async def painting(name: str) -> None:
        seen.append(color.get())
        color.set(name)

    app = apps()
    flows = app.register(painting)
    async with app:
        await flows.run("a", "blue")
        await flows.run("b", "green")
    assert seen == ["none", "none"]
    assert color.get() == "none"


async def test_a_repeated_wait_keeps_what_each_one_got(apps: Apps, clock: VirtualClock) -> None:
    histories: list[list[str]] = []

    @flow
    async def listening() -> list[str]:
        heard: list[str] = []
        histories.append(heard)
        for _ in range(4):
            heard.append(await message(str))
            heard.append(str((await now()).timestamp()))
        return heard

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(listening)
    async with app:
        await flows.schedule("a")
        for text in "abcd":
            await clock.advance(HOUR)
            await flows.send_message("a", text)
            await clock.settle()
        result = await flows.completion("a")
    assert result[::2] == list("abcd")
    for history in histories:
        assert history == result[: len(history)]


async def test_branches_replay_in_any_order_of_their_end(shared: Apps) -> None:
    async def listen(wanted: str) -> str:
        return await message(str, where=lambda text: text.startswith(wanted))

    @flow
    async def both() -> tuple[str, str]:
        return await gather(listen("a"), listen("b"))

    app = shared(suspend_after=AT_ONCE)
    flows = app.register(both)
    async with app:
        await flows.schedule("x")
        await shared.clock.settle()
        await flows.send_message("x", "b1")
        await shared.clock.settle()
        await flows.send_message("x", "b2")
    app = shared()
    flows = app.register(both)
    async with app:
        await flows.send_message("x", "a1")
        assert await flows.completion("x") == ("a1", "b1")
