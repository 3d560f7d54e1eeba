"""Restarting a flow by its control panel: what runs again, with which arguments, who is told."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, count_rows, loose, row, stored_messages
from unbroken import (
    ControlPanel,
    DeserializationError,
    FlowCancelled,
    FlowFailed,
    FlowParked,
    Flows,
    NotSerializable,
    Status,
    capture,
    flow,
    gather,
    message,
    sleep,
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


@pytest.fixture(autouse=True)
def nothing_broken() -> None:
    broken.clear()


@flow
async def double(n: int, *, times: int = 1) -> int:
    return n * 2 * times


@flow
async def waits(prefix: str) -> str:
    return prefix + await message(str)


# restart


async def test_a_restart_runs_again_what_failed_and_nothing_else(apps: Apps, shop: Shop) -> None:
    app = apps()
    flows = app.register(order_flow(shop))
    async with app:
        await fail(flows, "book")
        shop.is_broken = False
        panel = await panel_of(flows)
        scheduled = await panel.restart()
        assert (panel.status, panel.error, panel.result) == (Status.LIVE, None, None)
        assert await scheduled.completion() == ["reserved book", "shipped book"]
        assert scheduled.id == "a"
        assert await flows.completion("a") == ["reserved book", "shipped book"]
    assert shop.ran == ["reserve book", "ship book", "ship book"]


async def test_a_restart_that_fails_again_says_so(apps: Apps, shop: Shop) -> None:
    app = apps()
    flows = app.register(order_flow(shop))
    async with app:
        await fail(flows, "book")
        panel = await panel_of(flows)
        for _ in range(2):
            with pytest.raises(FlowFailed, match="cannot ship book"):
                await (await panel.restart()).completion()
            await panel.refresh()
            assert panel.status is Status.FAILED
    assert shop.ran == ["reserve book", *["ship book"] * 3]


async def test_a_restart_may_change_the_arguments(apps: Apps) -> None:
    app = apps()
    flows = app.register(double)
    async with app:
        assert await flows.run("a", 1) == 2
        panel = await panel_of(flows)
        panel.set_param(5, times=3)
        assert (panel.args, panel.kwargs) == ((5,), {"times": 3})
        assert await (await panel.restart()).completion() == 30
        await panel.refresh()
        assert (panel.args, panel.kwargs, panel.result) == ((5,), {"times": 3}, 30)


async def test_arguments_that_were_saved_are_there_at_the_next_run(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps(suspend_after=AT_ONCE)
    flows = app.register(waits)
    async with app:
        await flows.schedule("a", "x")
        await clock.settle()
        panel = await panel_of(flows)
        await panel.save()
        panel.set_param("changed ")
        assert (await panel_of(flows)).args == ("x",)
        await panel.save()
        assert (await panel_of(flows)).args == ("changed ",)
        assert (await row(app, "waits", "a")).due_at is None
        await flows.send_message("a", "y")
        assert await flows.completion("a") == "changed y"


async def test_arguments_that_were_not_saved_are_dropped_by_a_refresh(apps: Apps) -> None:
    app = apps()
    flows = app.register(double)
    async with app:
        await flows.run("a", 1)
        panel = await panel_of(flows)
        panel.set_param(5)
        await panel.refresh()
        assert panel.args == (1,)
        assert await (await panel.restart()).completion() == 2


@pytest.mark.parametrize(
    ("args", "kwargs", "error"),
    [
        ((), {}, TypeError),
        ((1, 2), {}, TypeError),
        ((1,), {"other": 2}, TypeError),
        ((object(),), {}, NotSerializable),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_at_once(
    apps: Apps, args: Any, kwargs: Any, error: type[Exception]
) -> None:
    app = apps()
    flows = app.register(double)
    async with app:
        await flows.run("a", 1)
        panel = await panel_of(flows)
        with pytest.raises(error):
            loose(panel).set_param(*args, **kwargs)
        assert (panel.args, (await panel_of(flows)).args) == ((1,), (1,))


async def test_a_cancelled_flow_goes_on_where_the_cancel_was_raised(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(waits)
    async with app:
        await flows.schedule("a", "x")
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        scheduled = await (await panel_of(flows)).restart()
        await clock.settle()
        await flows.send_message("a", "y")
        assert await scheduled.completion() == "xy"
        assert await flows.cancel("a") is not None


async def test_a_flow_whose_branches_were_cancelled_goes_on_with_all_of_them(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def branches() -> Any:
        return await gather(message(str), message(int), capture("a", str))

    app = apps()
    flows = app.register(branches)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        scheduled = await (await panel_of(flows)).restart()
        await flows.send_message("a", "text")
        await flows.send_message("a", 5)
        assert await scheduled.completion() == ("text", 5, "")


async def test_a_flow_that_was_cancelled_before_it_began_begins(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(double)
    async with app:
        await flows.schedule_in("a", HOUR, 4)
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        assert await (await panel_of(flows)).restart() is not None
        assert await flows.completion("a") == 8


async def test_a_flow_whose_time_was_over_has_it_again(apps: Apps, clock: VirtualClock) -> None:
    @flow(timeout=HOUR)
    async def limited() -> str:
        return await message(str)

    app = apps()
    flows = app.register(limited)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        with pytest.raises(FlowCancelled):
            await flows.completion("a")
        scheduled = await (await panel_of(flows)).restart()
        await clock.advance(HOUR - SECOND)
        await flows.send_message("a", "in time")
        assert await scheduled.completion() == "in time"


async def test_a_suspended_flow_begins_at_once(apps: Apps, clock: VirtualClock) -> None:
    runs: list[str] = []

    @flow
    async def sleeps(text: str) -> str:
        runs.append(text)
        await sleep(HOUR)
        return text

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(sleeps)
    async with app:
        await flows.schedule("a", "x")
        await clock.settle()
        panel = await panel_of(flows)
        panel.set_param("y")
        scheduled = await panel.restart()
        await clock.settle()
        assert runs == ["x", "y"]
        await clock.advance(HOUR)
        assert await scheduled.completion() == "y"


async def test_a_message_to_an_ended_flow_reaches_it_after_its_restart(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(waits)
    async with app:
        scheduled = await flows.schedule("a", "x")
        await flows.send_message("a", "1", key="k")
        assert await scheduled.completion() == "x1"
        panel = await panel_of(flows)
        await panel.effects.remove("message:str")
        again = await panel.restart()
        await clock.settle()
        assert (await flows.send_message("a", "1", key="k")).value == "duplicate"
        await flows.send_message("a", "2", key="l")
        assert await again.completion() == "x2"


async def test_a_restarted_flow_begins_in_another_process(
    shared: Apps, clock: VirtualClock, shop: Shop
) -> None:
    definition = order_flow(shop)
    server, client = shared(), shared(execute=False)
    flows, from_client = server.register(definition), client.register(definition)
    async with server, client:
        await fail(flows, "book")
        shop.is_broken = False
        scheduled = await (await panel_of(from_client)).restart()
        waiting = asyncio.create_task(scheduled.completion())
        await clock.advance(SECOND)
        assert shop.ran[-1] == "ship book"
        for _ in range(3):  # one hears of the other's write at most once a move
            await clock.advance(SECOND)
        assert await waiting == ["reserved book", "shipped book"]


async def test_a_flow_restarts_on_the_code_of_today(shared: Apps) -> None:
    @flow(name="repaired")
    async def wrong(order: str) -> str:
        await capture("reserve", str)
        raise ZeroDivisionError(order)

    @flow(name="repaired")
    async def right(order: str) -> str:
        return await capture("reserve", str) + order

    first = shared()
    flows = first.register(wrong)
    async with first:
        await fail(flows, "book")
    app = shared()
    flows = app.register(right)
    async with app:
        assert await (await panel_of(flows)).restart() is not None
        assert await flows.completion("a") == "book"


# parked flows


async def test_a_parked_flow_goes_on_once_it_is_restarted(apps: Apps, clock: VirtualClock) -> None:
    wrong = True

    @flow
    async def parks(n: int) -> int:
        first = await capture("a" if wrong else "message:str", str)
        await sleep(SECOND)
        if wrong:
            await capture("b", Order, "x", n)
            raise DeserializationError("shape", "$.x")
        return n + len(first)

    app = apps()
    flows = app.register(parks)
    async with app:
        scheduled = await flows.schedule("a", 4)
        await clock.advance(SECOND)
        with pytest.raises(FlowParked):
            await scheduled.completion()
        panel = await panel_of(flows)
        assert panel.status is Status.PARKED
        assert panel.error is not None
        assert panel.error.type.endswith(DeserializationError.__name__)
        wrong = False
        again = await panel.restart()
        await clock.advance(SECOND)
        assert await again.completion() == 4


# children


@flow
async def asks(child_id: str) -> str:
    return await fails_first.run(child_id)


broken: list[bool] = []


@flow
async def fails_first(n: int = 0) -> str:
    if broken:
        raise ShipError("broken")
    return "repaired"


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR], ids=["outside", "in memory"])
async def test_a_parent_that_has_not_read_the_former_end_gets_the_later_one(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    @flow
    async def parent() -> str:
        child = await fails_first.schedule("c")
        await message(int)
        return await child.completion()

    app = apps(suspend_after=suspend_after)
    parents, children = app.register(parent), app.register(fails_first)
    broken.append(True)
    async with app:
        scheduled = await parents.schedule("p")
        await clock.settle()
        with pytest.raises(FlowFailed):
            await children.completion("c")
        assert len(stored_messages(app, "p")) == 1
        broken.clear()
        await clock.settle()
        again = await (await panel_of(children, "c")).restart()
        assert await again.completion() == "repaired"
        await parents.send_message("p", 1)
        assert await scheduled.completion() == "repaired"


@pytest.mark.parametrize("suspend_after", [AT_ONCE, 2 * HOUR], ids=["outside", "in memory"])
async def test_a_parent_waits_while_its_child_runs_again(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    @flow
    async def child() -> str:
        if broken:
            raise ShipError("broken")
        await sleep(HOUR)
        return "repaired"

    @flow
    async def parent() -> str:
        started = await child.schedule("c")
        await message(int)
        return await started.completion()

    app = apps(suspend_after=suspend_after)
    parents, children = app.register(parent), app.register(child)
    broken.append(True)
    async with app:
        scheduled = await parents.schedule("p")
        await clock.settle()
        broken.clear()
        await (await panel_of(children, "c")).restart()
        await parents.send_message("p", 1)
        await clock.advance(HOUR - SECOND)
        assert (await row(app, "parent", "p")).status is Status.LIVE
        await clock.advance(2 * SECOND)
        assert await scheduled.completion() == "repaired"


async def test_a_parent_that_has_read_the_former_end_keeps_it(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def parent() -> str:
        try:
            return await fails_first.run("c")
        except FlowFailed as error:
            await message(int)
            return error.error.message

    app = apps(suspend_after=AT_ONCE)
    parents, children = app.register(parent), app.register(fails_first)
    broken.append(True)
    async with app:
        scheduled = await parents.schedule("p")
        await clock.settle()
        broken.clear()
        again = await (await panel_of(children, "c")).restart()
        assert await again.completion() == "repaired"
        await parents.send_message("p", 1)
        assert await scheduled.completion() == "broken"


async def test_a_restarted_parent_asks_for_its_restarted_child(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    parents, children = app.register(asks), app.register(fails_first)
    broken.append(True)
    async with app:
        await fail(parents, "c")
        panel = await panel_of(parents)
        with pytest.raises(FlowFailed, match="broken"):
            await (await panel.restart()).completion()
        broken.clear()
        await (await panel_of(children, "c")).restart()
        assert await children.completion("c") == "repaired"
        await panel.refresh()
        assert await (await panel.restart()).completion() == "repaired"
        assert count_rows(app, "flows") == 2
