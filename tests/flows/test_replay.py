"""Replay: what is remembered wins, a mismatch says both sides, and a deploy never strands a flow."""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, events_of, names_of, row, stored_effects
from unbroken import (
    FlowFailed,
    FlowParked,
    Status,
    capture,
    current_flow,
    effect,
    flow,
    gather,
    message,
    now,
    sleep,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def deploys(*versions: Callable[..., Any]) -> list[Any]:
    """Make one flow of several versions of its code."""
    return [flow(name="deployed")(version) for version in versions]


async def start_and_stop(shared: Apps, version: Any) -> None:
    app = shared()
    flows = app.register(version)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()


async def go_on(shared: Apps, version: Any, *, text: str = "go") -> Any:
    """Deploy another version, send it a message and give the result."""
    app = shared()
    flows = app.register(version)
    async with app:
        await shared.clock.settle()
        await flows.send_message("a", text)
        return await flows.completion("a")


async def test_a_recorded_result_wins_over_new_code(shared: Apps) -> None:
    async def before() -> str:
        color = await capture("color", lambda: "red")
        await message(str)
        return color

    async def after() -> str:
        color = await capture("color", lambda: "blue")
        await message(str)
        return color

    first, second = deploys(before, after)
    await start_and_stop(shared, first)
    assert await go_on(shared, second) == "red"


async def test_effects_may_change_their_order(shared: Apps) -> None:
    async def before() -> list[str]:
        a = await capture("a", lambda: "old a")
        b = await capture("b", lambda: "old b")
        await message(str)
        return [a, b]

    async def after() -> list[str]:
        b = await capture("b", lambda: "new b")
        a = await capture("a", lambda: "new a")
        await message(str)
        return [a, b]

    first, second = deploys(before, after)
    await start_and_stop(shared, first)
    assert await go_on(shared, second) == ["old a", "old b"]


async def test_effects_may_be_added_and_left_out(shared: Apps) -> None:
    async def before() -> list[str]:
        await capture("left out", lambda: "x")
        kept = await capture("kept", lambda: "old")
        await message(str)
        return [kept]

    async def after() -> list[str]:
        added = await capture("added", lambda: "new")
        kept = await capture("kept", lambda: "new")
        await message(str)
        return [added, kept]

    first, second = deploys(before, after)
    await start_and_stop(shared, first)
    assert await go_on(shared, second) == ["new", "old"]


async def test_a_renamed_effect_is_found_by_its_alias(shared: Apps) -> None:
    ran: list[str] = []

    @effect(at_most_once=True)
    async def ship() -> str:
        ran.append("ship")
        return "T1"

    @effect(at_most_once=True, aliases=["ship"])
    async def deliver() -> str:
        ran.append("deliver")
        return "T2"

    async def before() -> list[str]:
        tracking = [await ship(), await ship()]
        await message(str)
        return tracking

    async def after() -> list[str]:
        tracking = [await deliver(), await deliver()]
        await message(str)
        return tracking

    first, second = deploys(before, after)
    await start_and_stop(shared, first)
    assert await go_on(shared, second) == ["T1", "T1"]
    assert ran == ["ship", "ship"]


async def test_an_alias_finds_an_at_most_once_effect_that_only_began(shared: Apps) -> None:
    gate, ran = Gate(), []

    @effect(at_most_once=True)
    async def ship() -> None:
        ran.append("ship")
        await gate.pass_through()

    @effect(at_most_once=True, aliases=["ship"])
    async def deliver() -> None:
        ran.append("deliver")

    async def before() -> None:
        await ship()

    async def after() -> None:
        await deliver()

    first, second = deploys(before, after)
    _, hung_flows = await shared.hang(first)
    await hung_flows.schedule("a")
    await gate.reached()
    app = shared()
    flows = app.register(second)
    async with app:
        await shared.clock.advance(LEASE + SECOND)
        with pytest.raises(FlowFailed, match="'ship' began and its end was never recorded"):
            await flows.completion("a")
    assert ran == ["ship"]


async def test_a_name_of_another_kind_parks_the_flow_with_both_sides_until_a_deploy_fits(
    shared: Apps,
) -> None:
    async def before() -> str:
        await capture("sleep", lambda: 1)
        return await message(str)

    async def wrong() -> str:
        await sleep(HOUR)
        return await message(str)

    first, second = deploys(before, wrong)
    await start_and_stop(shared, first)
    with pytest.raises(FlowParked) as caught:
        await go_on(shared, second)
    text = str(caught.value)
    assert "'sleep'" in text
    assert "a deadline" in text
    assert "a capture" in text
    client = shared(execute=False)
    client.register(first)
    async with client:
        view = await row(client, "deployed", "a")
        assert view.status is Status.PARKED
        assert stored_effects(client, "a") == {"sleep": "capture"}


async def test_a_repeated_name_with_shifted_arguments_parks_the_flow(shared: Apps) -> None:
    ran: list[str] = []

    def ship(item: str) -> str:
        ran.append(item)
        return f"shipped {item}"

    def version(items: list[str]) -> Callable[..., Any]:
        async def code() -> list[str]:
            shipped = [await capture(ship, item) for item in items]
            await message(str)
            return shipped

        return code

    first, second = deploys(version(["a", "b", "c"]), version(["b", "c"]))
    await start_and_stop(shared, first)
    with pytest.raises(FlowParked, match="ship"):
        await go_on(shared, second)
    assert ran == ["a", "b", "c"]


async def test_other_arguments_under_a_name_used_once_only_report(shared: Apps) -> None:
    def ship(item: str) -> str:
        return f"shipped {item}"

    def version(item: str) -> Callable[..., Any]:
        async def code() -> str:
            shipped = await capture(ship, item)
            await message(str)
            return shipped

        return code

    first, second = deploys(version("a"), version("b"))
    await start_and_stop(shared, first)
    app = shared()
    told = events_of(app)
    flows = app.register(second)
    async with app:
        await flows.send_message("a", "go")
        assert await flows.completion("a") == "shipped a"
    assert "effect.arguments_changed" in names_of(told)


async def test_the_same_arguments_report_nothing(shared: Apps) -> None:
    def ship(item: str, count: int, **more: object) -> str:
        return item

    @flow
    async def shipping() -> list[str]:
        shipped = [await capture(ship, "a", n, color="red", parts={"y": [1], "x": None}) for n in (1, 2)]
        await message(str)
        return shipped

    await start_and_stop(shared, shipping)
    app = shared()
    told = events_of(app)
    flows = app.register(shipping)
    async with app:
        await flows.send_message("a", "go")
        assert await flows.completion("a") == ["a", "a"]
    assert "effect.arguments_changed" not in names_of(told)


async def test_a_new_field_with_a_default_and_a_removed_one_are_fine(shared: Apps) -> None:
    @dataclass
    class Before:
        id: int
        note: str

    @dataclass
    class After:
        id: int
        color: str = "red"

    async def before() -> int:
        order: Before = await capture("order", load_before)
        await message(str)
        return order.id

    async def after() -> str:
        order: After = await capture("order", load_after)
        await message(str)
        return order.color

    def load_before() -> Before:
        return Before(1, "x")

    def load_after() -> After:
        return After(2, "blue")

    first, second = deploys(before, after)
    await start_and_stop(shared, first)
    assert await go_on(shared, second) == "red"


async def test_a_field_without_a_default_parks_the_flow_and_a_repaired_deploy_is_named(
    shared: Apps,
) -> None:
    @dataclass
    class Before:
        id: int

    @dataclass
    class After:
        id: int
        color: str

    def load_before() -> Before:
        return Before(1)

    def load_after() -> After:
        return After(1, "red")

    async def before() -> int:
        order = await capture("order", load_before)
        await message(str)
        return order.id

    async def after() -> int:
        order = await capture("order", load_after)
        await message(str)
        return order.id

    first, second = deploys(before, after)
    await start_and_stop(shared, first)
    with pytest.raises(FlowParked, match="color"):
        await go_on(shared, second)


async def test_a_new_parameter_takes_its_default(shared: Apps) -> None:
    async def before() -> str:
        return await message(str)

    async def after(color: str = "red") -> str:
        return await message(str) + color

    first, second = deploys(before, after)
    await start_and_stop(shared, first)
    assert await go_on(shared, second) == "gored"


async def test_a_new_parameter_without_a_default_parks_the_flow(shared: Apps) -> None:
    async def before() -> str:
        return await message(str)

    async def after(color: str) -> str:
        return color

    first, second = deploys(before, after)
    await start_and_stop(shared, first)
    with pytest.raises(FlowParked, match="without the parameter `color`: give it a default"):
        await go_on(shared, second)


async def test_each_incarnation_gets_arguments_of_its_own(
    apps: Apps, clock: VirtualClock
) -> None:
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


async def test_the_bodys_own_object_never_reaches_the_flow(
    apps: Apps, clock: VirtualClock
) -> None:
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


async def test_something_cached_that_captures_gives_its_first_result_in_one_incarnation(
    apps: Apps,
) -> None:
    """A cache outlives an incarnation, so it must not stand around a capture; inside is fine."""

    @functools.cache
    def expensive(n: int) -> int:
        return n * n

    @flow
    async def cached() -> list[int]:
        return [await capture("square", expensive, n) for n in (2, 2, 3)]

    app = apps()
    flows = app.register(cached)
    async with app:
        assert await flows.run("a") == [4, 4, 9]
