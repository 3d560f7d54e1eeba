"""Wrong uses of control panels and initial states."""

from decimal import Decimal
from typing import assert_type
from uuid import UUID

from tests.typing.shop import FundsReserved, Order, audits, orders, payments
from unbroken import InitialMessage, InitialState, Retry, flow


async def unchecked(order: Order) -> None:
    panel = await orders.control_panel("MK-1")
    panel.set_param(order)  # refused: attribute
    await panel.restart()  # refused: attribute


async def panels(order: Order) -> None:
    await orders.control_panel()  # refused: argument
    await orders.control_panel(5)  # refused: argument
    orders.control_panel("MK-1")  # refused: await
    panel = await orders.control_panel("MK-1")
    assert panel is not None
    panel.set_param()  # refused: argument
    panel.set_param("text")  # refused: argument
    panel.set_param(order, 5)  # refused: argument
    panel.set_param(order, attempts=5)  # refused: argument
    panel.restart()  # refused: await
    panel.save()  # refused: await
    panel.refresh()  # refused: await
    await panel.restart(order)  # refused: argument
    assert_type(await (await panel.restart()).completion(), int)  # refused: type
    assert_type(panel.result, str)  # refused: type
    trail = await audits.control_panel("A-1")
    assert trail is not None
    trail.set_param(1)  # refused: argument
    trail.set_param("one", level="two")  # refused: argument
    payment = await payments.control_panel("P-1")
    assert payment is not None
    payment.set_param(order, 2)  # refused: argument


async def effects(order: Order) -> None:
    panel = await orders.control_panel("MK-1")
    assert panel is not None
    await panel.effects.get("transaction_id")  # refused: argument
    await panel.effects.get("transaction_id", order)  # refused: argument
    assert_type(await panel.effects.get("transaction_id", UUID), str)  # refused: type
    panel.effects.remove("transaction_id")  # refused: await
    panel.effects.all()  # refused: await
    (await panel.effects.all())[0].error.message  # refused: attribute


async def initial(order: Order) -> None:
    InitialState(effects=["a"])  # refused: argument
    InitialState(failed={"a": ValueError})  # refused: argument
    InitialState(failed={"a": "text"})  # refused: argument
    InitialState(started=[1])  # refused: argument
    InitialState(messages=FundsReserved(Decimal(1)))  # refused: argument
    InitialState(wrong={})  # refused: argument
    InitialMessage()  # refused: argument
    InitialMessage("text", key=5)  # refused: argument
    orders.options(initial={"a": 1})  # refused: argument
    await orders.options(initial=InitialState()).run("MK-1", 5)  # refused: argument
    await orders.run("MK-1", order, initial=InitialState())  # refused: argument


def declared() -> None:
    flow(retry=3)  # refused: argument
    flow(retry=Retry)  # refused: argument
    flow(aliases=5)  # refused: argument
    flow(version="2")  # refused: argument
