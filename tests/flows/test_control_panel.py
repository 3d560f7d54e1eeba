"""The control panel: what an operator sees of one flow, changes and restarts."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.flows.apps import Apps, Gate, row, stored_effects
from unbroken import (
    ControlPanel,
    DeserializationError,
    EffectInfo,
    EffectInterrupted,
    EffectNotFound,
    FlowFailed,
    FlowMoved,
    FlowNotFound,
    Flows,
    Status,
    capture,
    effect,
    flow,
    gather,
    message,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


class ShipError(Exception):
    pass


@dataclass
class Order:
    id: str
    total: int


class Shop:
    """The world outside, which fails as long as it is told to."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.is_broken = True

    async def reserve(self, order: str) -> str:
        self.ran.append(f"reserve {order}")
        return f"reserved {order}"

    async def ship(self, order: str) -> str:
        self.ran.append(f"ship {order}")
        if self.is_broken:
            raise ShipError(f"cannot ship {order}")
        return f"shipped {order}"


@pytest.fixture
def shop() -> Shop:
    return Shop()


def order_flow(shop: Shop) -> Any:
    @flow(name="order")
    async def order(order: str) -> list[str]:
        reserved = await capture("reserve", shop.reserve, order)
        return [reserved, await capture("ship", shop.ship, order)]

    return order


async def panel_of(flows: Flows[..., Any], id: str = "a") -> ControlPanel[..., Any]:
    panel = await flows.control_panel(id)
    assert panel is not None
    return panel


async def fail(flows: Any, *args: object) -> None:
    with pytest.raises(FlowFailed):
        await flows.run("a", *args)


@flow
async def double(n: int, *, times: int = 1) -> int:
    return n * 2 * times


@flow
async def waits(prefix: str) -> str:
    return prefix + await message(str)


# what it shows


async def test_there_is_no_panel_of_a_flow_that_does_not_exist(apps: Apps) -> None:
    app = apps()
    flows = app.register(double)
    async with app:
        assert await flows.control_panel("none") is None


async def test_it_shows_a_flow_that_is_done(apps: Apps) -> None:
    app = apps()
    flows = app.register(double)
    async with app:
        await flows.run("a", 4, times=2)
        panel = await panel_of(flows)
        assert (panel.id, panel.status, panel.result) == ("a", Status.DONE, 16)
        assert (panel.args, panel.kwargs) == ((4,), {"times": 2})
        assert (panel.error, panel.due_at, panel.owner) == (None, None, None)
        assert (panel.failures, panel.version) == (0, 1)
        assert repr(panel) == "ControlPanel('double', 'a', 'done')"


async def test_it_shows_why_a_flow_failed(apps: Apps, shop: Shop) -> None:
    app = apps()
    flows = app.register(order_flow(shop))
    async with app:
        await fail(flows, "book")
        panel = await panel_of(flows)
        assert (panel.status, panel.result) == (Status.FAILED, None)
        assert panel.error is not None
        assert panel.error.type == f"{__name__}:ShipError"
        assert panel.error.message == "cannot ship book"
        assert "in ship" in panel.error.traceback


async def test_it_shows_who_holds_a_flow_and_when_it_is_due(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(waits)
    async with app:
        await flows.schedule("a", "x")
        await clock.settle()
        held = await panel_of(flows)
        assert (held.status, held.owner) == (Status.LIVE, (await row(app, "waits", "a")).owner)
        assert held.owner is not None
        await flows.schedule_in("b", HOUR, "x")
        due = await panel_of(flows, "b")
        assert due.owner is None
        assert due.due_at is not None


async def test_it_is_a_picture_until_it_is_refreshed(apps: Apps, clock: VirtualClock) -> None:
    app = apps()
    flows = app.register(waits)
    async with app:
        await flows.schedule("a", "x")
        await clock.settle()
        panel = await panel_of(flows)
        await flows.send_message("a", "y")
        await flows.completion("a")
        assert (panel.status, panel.result) == (Status.LIVE, None)
        assert [one.name for one in await panel.effects.all()] == ["message:str"]
        await panel.refresh()
        assert (panel.status, panel.result) == (Status.DONE, "xy")


async def test_a_panel_of_a_deleted_flow_says_so(apps: Apps, shop: Shop) -> None:
    app = apps()
    flows = app.register(order_flow(shop))
    async with app:
        await fail(flows, "book")
        panel = await panel_of(flows)
        await app._store.delete_flow("order", "a")
        with pytest.raises(FlowNotFound, match="has the id 'a' any more"):
            await panel.refresh()
        with pytest.raises(FlowNotFound, match="was deleted"):
            await panel.restart()


async def test_arguments_are_objects_of_their_own_each_time(apps: Apps) -> None:
    @flow
    async def ship(order: Order) -> None: ...

    app = apps()
    flows = app.register(ship)
    async with app:
        await flows.run("a", Order("x", 1))
        panel = await panel_of(flows)
        panel.args[0].total = 99
        assert panel.args == (Order("x", 1),)


async def test_arguments_that_do_not_fit_the_code_are_told_when_they_are_read(
    shared: Apps,
) -> None:
    @flow(name="ship")
    async def before(order: str) -> None: ...

    @flow(name="ship")
    async def after(order: Order) -> None: ...

    first = shared()
    flows = first.register(before)
    async with first:
        await flows.run("a", "text")
    app = shared()
    flows = app.register(after)
    async with app:
        panel = await panel_of(flows)
        with pytest.raises(DeserializationError, match="order"):
            _ = panel.args


# effects


async def test_effects_are_shown_with_their_errors(apps: Apps, shop: Shop) -> None:
    app = apps()
    flows = app.register(order_flow(shop))
    async with app:
        await fail(flows, "book")
        effects = (await panel_of(flows)).effects
        reserve, ship = await effects.all()
        assert reserve == EffectInfo("reserve", "capture")
        assert (ship.name, ship.kind) == ("ship", "capture")
        assert ship.error is not None
        assert ship.error.message == "cannot ship book"
        assert await effects.get("reserve", str) == "reserved book"
        with pytest.raises(ShipError, match="cannot ship book"):
            await effects.get("ship", str)


async def test_the_error_of_a_child_is_shown_at_its_effect(apps: Apps) -> None:
    @flow
    async def child() -> None:
        raise ShipError("no ships")

    @flow
    async def parent() -> None:
        await child.run("c")

    app = apps()
    parents, _ = app.register(parent), app.register(child)
    async with app:
        await fail(parents)
        shown = await (await panel_of(parents)).effects.all()
        errors = [one.error.message for one in shown if one.error is not None]
        assert errors == ["no ships"]


@pytest.mark.parametrize("name", ["none", "reserve#2", "message:str"])
async def test_a_result_that_is_not_there_is_named_beside_those_that_are(
    apps: Apps, shop: Shop, name: str
) -> None:
    app = apps()
    flows = app.register(order_flow(shop))
    async with app:
        await fail(flows, "book")
        effects = (await panel_of(flows)).effects
        text = f"'a' has recorded nothing as '{name}', but 'reserve', 'ship'"
        with pytest.raises(EffectNotFound, match=text):
            await effects.get(name, str)
        with pytest.raises(EffectNotFound, match=text):
            await effects.remove(name)


async def test_a_result_of_another_type_is_refused(apps: Apps, shop: Shop) -> None:
    app = apps()
    flows = app.register(order_flow(shop))
    async with app:
        await fail(flows, "book")
        with pytest.raises(DeserializationError):
            await (await panel_of(flows)).effects.get("reserve", UUID)


async def test_a_removed_effect_runs_again(apps: Apps, shop: Shop) -> None:
    app = apps()
    flows = app.register(order_flow(shop))
    async with app:
        await fail(flows, "book")
        panel = await panel_of(flows)
        await panel.effects.remove("reserve")
        assert [one.name for one in await panel.effects.all()] == ["ship"]
        assert list(stored_effects(app, "a")) == ["ship"]
        shop.is_broken = False
        scheduled = await panel.restart()
        assert await scheduled.completion() == ["reserved book", "shipped book"]
    assert shop.ran == ["reserve book", "ship book", "reserve book", "ship book"]


async def test_an_effect_is_removed_with_all_beneath_it(apps: Apps, shop: Shop) -> None:
    @flow
    async def branches() -> None:
        await gather(capture("a", str), capture("ab", str))

        async def one() -> None:
            await capture("x", str)
            await capture("y", shop.ship, "y")

        await gather(one(), capture("z", str))

    app = apps()
    flows = app.register(branches)
    async with app:
        await fail(flows)
        panel = await panel_of(flows)
        keys = ["a", "ab", "gather#2/0/x", "gather#2/0/y", "z"]
        assert sorted(stored_effects(app, "a")) == keys
        await panel.effects.remove("a")
        await panel.effects.remove("gather#2")
        assert sorted(stored_effects(app, "a")) == ["ab", "z"]


async def test_an_at_most_once_effect_is_forgotten_by_its_removal_alone(
    apps: Apps, shop: Shop
) -> None:
    @flow
    async def once() -> str:
        return await capture("ship", effect(shop.ship, at_most_once=True), "book")

    app = apps()
    flows = app.register(once)
    async with app:
        await fail(flows)
        shop.is_broken = False
        panel = await panel_of(flows)
        with pytest.raises(FlowFailed, match="cannot ship book"):
            await (await panel.restart()).completion()
        assert shop.ran == ["ship book"]
        await panel.refresh()
        await panel.effects.remove("ship")
        assert stored_effects(app, "a") == {}
        assert await (await panel.restart()).completion() == "shipped book"


async def test_an_interrupted_effect_may_begin_again_once_it_is_removed(
    shared: Apps, clock: VirtualClock
) -> None:
    gate = Gate()

    @flow
    async def once() -> str:
        await capture("ship", effect(gate.pass_through, at_most_once=True))
        return "shipped"

    _, flows = await shared.hang(once)
    await flows.schedule("a")
    await gate.reached()
    app = shared()
    flows = app.register(once)
    async with app:
        await clock.advance(HOUR)
        with pytest.raises(FlowFailed) as failure:
            await flows.completion("a")
        assert failure.value.error.type.endswith(EffectInterrupted.__name__)
        gate.open()
        panel = await panel_of(flows)
        with pytest.raises(FlowFailed):
            await (await panel.restart()).completion()
        await panel.refresh()
        await panel.effects.remove("ship")
        assert await (await panel.restart()).completion() == "shipped"


# stale panels, and flows that are held


async def test_a_stale_panel_writes_nothing(apps: Apps, shop: Shop) -> None:
    app = apps()
    flows = app.register(order_flow(shop))
    async with app:
        await fail(flows, "book")
        stale, panel = await panel_of(flows), await panel_of(flows)
        await panel.effects.remove("reserve")
        stale.set_param("other")
        for write in (stale.restart, stale.save, lambda: stale.effects.remove("ship")):
            with pytest.raises(FlowMoved, match=r"it is failed now\): `await panel.refresh\(\)`"):
                await write()
        assert list(stored_effects(app, "a")) == ["ship"]
        assert (await panel_of(flows)).args == ("book",)
        await stale.refresh()
        shop.is_broken = False
        assert await (await stale.restart()).completion() == ["reserved book", "shipped book"]


async def test_of_two_who_restart_at_once_one_succeeds(apps: Apps, shop: Shop) -> None:
    app = apps()
    flows = app.register(order_flow(shop))
    async with app:
        await fail(flows, "book")
        panels = [await panel_of(flows) for _ in range(4)]
        answers = await asyncio.gather(*(one.restart() for one in panels), return_exceptions=True)
        assert sum(isinstance(one, FlowMoved) for one in answers) == 3
        with pytest.raises(FlowFailed):
            await flows.completion("a")
    assert shop.ran == ["reserve book", "ship book", "ship book"]


async def test_a_flow_that_is_held_by_a_process_is_left_alone(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(waits)
    async with app:
        await flows.schedule("a", "x")
        await clock.settle()
        panel = await panel_of(flows)
        panel.set_param("y")
        text = rf"held by this process \(replica {panel.owner}, incarnation 1\): wait until it has"
        for write in (panel.restart, panel.save):
            with pytest.raises(FlowMoved, match=text):
                await write()
        await flows.send_message("a", "1")
        assert await flows.completion("a") == "x1"


async def test_a_flow_that_is_held_elsewhere_says_where(shared: Apps, clock: VirtualClock) -> None:
    server, client = shared(), shared(execute=False)
    flows, from_client = server.register(waits), client.register(waits)
    async with server, client:
        await flows.schedule("a", "x")
        await clock.settle()
        panel = await panel_of(from_client)
        with pytest.raises(FlowMoved, match=f"held by a process \\(replica {panel.owner},"):
            await panel.restart()


async def test_a_flow_that_was_claimed_meanwhile_is_left_alone(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(waits)
    async with app:
        await flows.schedule_in("a", HOUR, "x")
        panel = await panel_of(flows)
        panel.set_param("y")
        await clock.advance(HOUR)
        with pytest.raises(FlowMoved, match="held by this process"):
            await panel.save()
