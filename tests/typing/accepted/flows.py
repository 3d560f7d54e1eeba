"""`flow` on functions and classes, and `register` in all its forms."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import assert_type
from uuid import UUID
from decimal import Decimal

from tests.typing.shop import (
    Bus,
    InvoiceFlow,
    Order,
    ShipFlow,
    Tracking,
    audit_flow,
    order_flow,
    payment_flow,
    undecorated,
    user_flow,
)
from unbroken import Unbroken, flow

app = Unbroken("postgresql://localhost/shop")


async def called_in_place(order: Order) -> None:
    assert_type(await order_flow(order), str)
    assert_type(await order_flow(order=order), str)
    assert_type(await payment_flow(order), Decimal)
    assert_type(await payment_flow(order, attempts=2), Decimal)
    assert_type(await user_flow(UUID(int=1), name="ann"), tuple[UUID, str])
    assert_type(await audit_flow("a", "b", level=2), None)


async def a_class_stays_what_it_was(order: Order) -> None:
    assert_type(ShipFlow, type[ShipFlow])
    assert_type(ShipFlow(Bus()), ShipFlow)
    assert_type(ShipFlow(Bus()).bus, Bus)
    assert_type(await ShipFlow(Bus()).run(order, express=True), Tracking)
    assert_type(InvoiceFlow(), InvoiceFlow)


async def made_from_a_function_without_the_decorator(order: Order) -> None:
    assert_type(await flow(undecorated)(order), str)
    assert_type(await flow(name="other")(undecorated)(order), str)
    assert_type(await app.register(flow(undecorated)).run("MK-1", order), str)


async def registered_functions(order: Order) -> None:
    assert_type(app.register(order_flow).name, str)
    assert_type(await app.register(order_flow).run("MK-1", order), str)
    assert_type(await app.register(payment_flow).run("MK-1", order, attempts=1), Decimal)
    assert_type(await app.register(audit_flow).run("a", "one", "two", level=1), None)


def made() -> ShipFlow:
    return ShipFlow(Bus())


async def opened() -> AsyncGenerator[ShipFlow, None]:
    yield made()


scope = asynccontextmanager(opened)


class Scope:
    async def __aenter__(self) -> ShipFlow:
        return made()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


async def registered_classes(order: Order, customer: UUID) -> None:
    assert_type(await app.register(InvoiceFlow).run("i", customer), Decimal)
    assert_type(await app.register(InvoiceFlow, InvoiceFlow).run("i", customer), Decimal)
    assert_type(await app.register(ShipFlow, lambda: ShipFlow(Bus())).run("s", order), Tracking)
    assert_type(await app.register(ShipFlow, made).run("s", order, express=True), Tracking)
    assert_type(await app.register(ShipFlow, partial(ShipFlow, Bus())).run("s", order), Tracking)


async def registered_classes_in_a_scope(order: Order) -> None:
    assert_type(await app.register(ShipFlow, scope).run("s", order), Tracking)
    assert_type(await app.register(ShipFlow, Scope).run("s", order, True), Tracking)
    assert_type(await app.register(ShipFlow, lambda: Scope()).run("s", order), Tracking)


async def registered_instances(order: Order, customer: UUID) -> None:
    assert_type(await app.register(ShipFlow(Bus())).run("s", order), Tracking)
    assert_type(await app.register(InvoiceFlow()).run("i", customer=customer), Decimal)
