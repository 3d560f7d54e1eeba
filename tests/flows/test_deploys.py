"""Deploys: new code meets recorded history; it fits, or says both sides and parks."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import LEASE, Apps, Gate, events_of, names_of, row, stored_effects
from unbroken import FlowFailed, FlowParked, Status, capture, effect, flow, message, sleep

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
        shipped = [
            await capture(ship, "a", n, color="red", parts={"y": [1], "x": None}) for n in (1, 2)
        ]
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


async def test_a_new_field_without_a_default_parks_the_flow_and_is_named(
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


color: ContextVar[str] = ContextVar("color", default="none")
