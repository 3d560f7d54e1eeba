"""The domain that the typed programs beside it speak of."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from unbroken import Unbroken, effect, flow

T = TypeVar("T")


@dataclass
class Order:
    id: str
    customer: UUID
    total: Decimal
    products: list[str] = field(default_factory=list[str])


@dataclass
class Tracking:
    number: str


@dataclass
class FundsReserved:
    amount: Decimal


@dataclass
class ProductsShipped:
    tracking: Tracking


@dataclass
class OrderCancelled:
    reason: str


class Bus:
    async def publish(self, topic: str, text: str) -> int:
        return len(topic + text)


class Bank:
    """Methods of both kinds, and an object that is called."""

    async def reserve(self, order: Order, amount: Decimal) -> UUID:
        return UUID(int=int(amount))

    def fee(self, amount: Decimal, *, rate: float = 0.5) -> Decimal:
        return amount * Decimal(rate)

    def __call__(self, amount: Decimal) -> FundsReserved:
        return FundsReserved(amount)


async def fetch(url: str, attempts: int = 1) -> bytes:
    return url.encode() * attempts


def count(text: str) -> int:
    return len(text)


async def first_of(items: list[T]) -> T:
    return items[0]


def last_of(items: list[T]) -> T:
    return items[-1]


@contextmanager
def plain_scope() -> Generator["ShipFlow", None, None]:
    yield ShipFlow(Bus())


@flow
async def order_flow(order: Order) -> str:
    return order.id


@flow(name="Payment", aliases=["Pay"])
async def payment_flow(order: Order, *, attempts: int = 3) -> Decimal:
    return order.total * attempts


@flow()
async def user_flow(id: UUID, name: str) -> tuple[UUID, str]:
    """Has an `id` of its own among its arguments."""
    return id, name


@flow
async def audit_flow(*lines: str, level: int = 0) -> None:
    """Takes any number of arguments."""


@flow
class ShipFlow:
    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def run(self, order: Order, express: bool = False) -> Tracking:
        await self.announce(order)
        return Tracking(order.id)

    @effect
    async def announce(self, order: Order) -> int:
        return await self.bus.publish("shipped", order.id)

    @effect(at_most_once=True)
    def label(self, order: Order, *, copies: int = 1) -> list[str]:
        return [order.id] * copies


@flow(name="Invoice")
class InvoiceFlow:
    async def run(self, customer: UUID) -> Decimal:
        return Decimal(customer.int)


async def undecorated(order: Order) -> str:
    return order.id


def plain(order: Order) -> str:
    return order.id


class PlainRun:
    def run(self, order: Order) -> str:
        return order.id


app = Unbroken("sqlite://")
orders = app.register(order_flow)
payments = app.register(payment_flow)
users = app.register(user_flow)
audits = app.register(audit_flow)
shipments = app.register(ShipFlow, lambda: ShipFlow(Bus()))
invoices = app.register(InvoiceFlow)
