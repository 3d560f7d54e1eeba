"""A test of a flow with stubs for the world, and an effect that has its result already.

    python examples/order_flow_test.py          or: pytest examples/order_flow_test.py, with
                                                pytest-asyncio in its automatic mode

The store is in memory and the clock is virtual, so a test of two weeks takes a few milliseconds.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID, uuid4

from unbroken import InitialState, Unbroken, capture, flow, message
from unbroken.testing import VirtualClock


@dataclass
class Shipped:
    """The post has the parcel."""

    tracking: str


class Payments(Protocol):
    """What the flow needs of the bank."""

    async def take(self, transaction_id: UUID, amount: int) -> None:
        """Take the money; a repeated call with one id takes it once."""
        ...


class Emails(Protocol):
    """What the flow needs of the mail server."""

    async def send(self, customer: str, text: str) -> None:
        """Write to a customer."""
        ...


# --- the flow


@flow
class OrderFlow:
    """Take the money, wait for the parcel, write to the customer."""

    def __init__(self, payments: Payments, emails: Emails) -> None:
        self.payments = payments
        self.emails = emails

    async def run(self, customer: str, amount: int) -> str | None:
        """Bring the order to its end; None if the post never got the parcel."""
        transaction_id = await capture("transaction_id", uuid4)
        await capture(self.payments.take, transaction_id, amount)
        shipped = await message(Shipped, timeout=timedelta(days=14))
        if shipped is None:
            await capture("sorry", self.emails.send, customer, "we are sorry")
            return None
        await capture("sent", self.emails.send, customer, f"look for {shipped.tracking}")
        return shipped.tracking


# --- the stubs: they note what they were asked for


class PaymentsStub:
    """A bank that always pays."""

    def __init__(self) -> None:
        self.taken: list[tuple[UUID, int]] = []

    async def take(self, transaction_id: UUID, amount: int) -> None:
        """Note it."""
        self.taken.append((transaction_id, amount))


class EmailsStub:
    """A mail server without customers."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, customer: str, text: str) -> None:
        """Note it."""
        self.sent.append(f"{customer}: {text}")


# --- the tests


async def test_the_payment_carries_the_wanted_id() -> None:
    """`transaction_id` is preset: the capture of that name gives it and calls nothing."""
    wanted = UUID("9f0c1f6e-6a1e-4a53-b7fb-1d8f3ad3b1c8")
    payments, emails = PaymentsStub(), EmailsStub()
    app = Unbroken("sqlite://")
    orders = app.register(OrderFlow(payments, emails))
    preset = InitialState(effects={"transaction_id": wanted}, messages=[Shipped("TRACK-1")])
    async with app:
        tracking = await orders.options(initial=preset).run("MK-54321", "ann", 20)
    assert tracking == "TRACK-1"
    assert payments.taken == [(wanted, 20)]
    assert emails.sent == ["ann: look for TRACK-1"]


async def test_after_two_weeks_we_are_sorry() -> None:
    """Time moves only when the test says so."""
    payments, emails = PaymentsStub(), EmailsStub()
    clock = VirtualClock()
    app = Unbroken("sqlite://", clock=clock)
    orders = app.register(OrderFlow(payments, emails))
    async with app:
        order = await orders.schedule("MK-54321", "ann", 20)
        await clock.advance(timedelta(days=13))
        assert emails.sent == []
        await clock.advance(timedelta(days=1))
        assert await order.completion() is None
    assert emails.sent == ["ann: we are sorry"]


async def main() -> None:
    """Run both without a test runner."""
    await test_the_payment_carries_the_wanted_id()
    await test_after_two_weeks_we_are_sorry()
    print("2 passed")


if __name__ == "__main__":
    asyncio.run(main())
