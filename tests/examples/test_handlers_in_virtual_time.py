"""What examples do with flows from outside: handlers of a bus, and an operator's panel."""

from datetime import timedelta
from typing import Any

import pytest

from tests.examples.test_examples_in_virtual_time import imported
from unbroken import Delivery, EffectInterrupted, FlowFailed, InitialState, Status, Unbroken
from unbroken.testing import VirtualClock


async def test_bus_handlers_follow_each_parcel_although_everything_comes_twice() -> None:
    with imported("bus_handlers") as example:
        app = Unbroken("sqlite://", clock=VirtualClock())
        parcels = app.register(example.parcel_flow)
        async with app:
            await parcels.bulk_schedule(parcels.prepare(parcel) for parcel in example.PARCELS)
            first, *rest = example.Bus.lines
            for _ in range(2):
                await example.handle(parcels, first)
            for _ in range(2):
                await example.handle_batch(parcels, rest)
            places = [await parcels.completion(parcel) for parcel in example.PARCELS]
        assert places == [list(example.PLACES)] * 3


async def test_approval_is_one_message_however_often_somebody_clicks() -> None:
    with imported("approval") as example:
        clock = VirtualClock()
        app = Unbroken("sqlite://", clock=clock)
        expenses = app.register(example.expense_flow)
        inbox = expenses.message_writer("E-1")
        async with app:
            assert await inbox.append(example.Approved("bob")) is Delivery.NO_SUCH_FLOW
            asked = await expenses.schedule_in("E-1", timedelta(days=30))
            clicks = [await inbox.append(example.Approved("bob"), key="bob") for _ in range(2)]
            assert clicks == [Delivery.ACCEPTED, Delivery.DUPLICATE]
            await clock.advance(timedelta(days=30))
            assert await asked.completion() == "approved by bob"
            assert await inbox.append(example.Approved("bob")) is Delivery.FLOW_ENDED


async def test_control_panel_corrects_the_address_and_lets_it_ship(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with imported("control_panel") as example:
        calls: list[str] = []
        monkeypatch.setattr(example, "note", calls.append)
        monkeypatch.setattr(example, "SECONDS", 0)
        app = Unbroken("sqlite://", clock=VirtualClock())
        orders = app.register(example.order_flow)
        # As if it had been killed while it shipped.
        shipping = InitialState(started=["ShipProducts"])
        async with app:
            with pytest.raises(FlowFailed, match="nowhere"):
                await orders.options(initial=shipping).run(example.ORDER, "nowhere")
            await example.correct(orders, "1 Old Street")
            with pytest.raises(FlowFailed) as failed:
                await orders.completion(example.ORDER)
            assert isinstance(failed.value.__cause__, EffectInterrupted)
            await example.look(orders)
            assert capsys.readouterr().out.startswith("failed 1 Old Street")
            await example.allow_shipping(orders)
            assert await orders.completion(example.ORDER) == "sent to 1 Old Street"
        assert calls == ["pack", "find nowhere", "find 1 Old Street", "ship to 1 Old Street"]


async def test_rocket_that_may_have_left_is_looked_for_and_not_fired_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with imported("puzzle_and_rocket") as example:
        calls: list[Any] = []
        monkeypatch.setattr(example, "note", calls.append)
        monkeypatch.setattr(example, "SECONDS", 0)
        app = Unbroken("sqlite://", clock=VirtualClock())
        puzzles, launches = app.register(example.puzzle_flow), app.register(example.rocket_flow)
        begun = InitialState(started=["fire_rocket"])
        solved = InitialState(effects={"puzzle_solution": "7283"})
        async with app:
            assert await puzzles.options(initial=solved).run("P-1", "?") == "7283"
            assert await launches.options(initial=begun).run("R-1") == "somebody saw it fly"
            assert await launches.run("R-2") == "it flies"
            assert [one.status for one in await launches.list()] == [Status.DONE] * 2
        assert calls == ["announce 7283", "fuel 100 %", "look at the sky", "fuel 100 %", "fire"]
