"""What is no flow, and what does not fit one."""

from collections.abc import AsyncIterator
from decimal import Decimal

from tests.typing.shop import (
    Bus,
    InvoiceFlow,
    Order,
    PlainRun,
    ShipFlow,
    app,
    order_flow,
    payment_flow,
    plain,
    plain_scope,
    undecorated,
)
from unbroken import flow


async def generator(order: Order) -> AsyncIterator[str]:
    yield order.id


@flow  # refused: argument
def decorated(order: Order) -> str:
    return order.id


@flow(name="decorated")  # refused: argument
def decorated_with_a_name(order: Order) -> str:
    return order.id


def declare() -> None:
    flow(plain)  # refused: argument
    flow(name="plain")(plain)  # refused: argument
    flow(generator)  # refused: argument
    flow("order_flow")  # refused: argument
    flow(name=5)  # refused: argument
    flow(nmae="order_flow")  # refused: argument
    flow(aliases=[1, 2])  # refused: argument


async def call_in_place(order: Order) -> None:
    await order_flow()  # refused: argument
    await order_flow("MK-1")  # refused: argument
    await order_flow("MK-1", order)  # refused: argument
    await order_flow(ordre=order)  # refused: argument
    await payment_flow(order, 3)  # refused: argument
    order_flow(order)  # refused: await
    number: int = await order_flow(order)  # refused: result
    print(number)


def register() -> None:
    app.register(undecorated)  # refused: argument
    app.register(plain)  # refused: argument
    app.register("order_flow")  # refused: argument
    app.register(Bus)  # refused: argument
    app.register(Bus())  # refused: argument
    app.register(PlainRun)  # refused: argument
    app.register(PlainRun())  # refused: argument
    app.register(lambda: ShipFlow(Bus()))  # refused: argument


def register_with_a_factory() -> None:
    app.register(ShipFlow, lambda: Bus())  # refused: argument
    app.register(ShipFlow, lambda: InvoiceFlow())  # refused: argument
    app.register(ShipFlow, ShipFlow)  # refused: argument
    app.register(ShipFlow, ShipFlow(Bus()))  # refused: argument
    app.register(ShipFlow, plain_scope)  # refused: argument
    app.register(ShipFlow(Bus()), lambda: ShipFlow(Bus()))  # refused: argument
    app.register(order_flow, lambda: order_flow)  # refused: argument


async def use_a_registered_one(order: Order) -> None:
    await app.register(order_flow).run("MK-1", "order")  # refused: argument
    await app.register(InvoiceFlow).run("I-1", order)  # refused: argument
    await app.register(ShipFlow(Bus())).run("S-1", order, fast=True)  # refused: argument
    total: Decimal = await app.register(order_flow).run("MK-1", order)  # refused: result
    print(total)
