"""An order, by calls to other services: reserve the money, ship, take the money, send an e-mail.

    python examples/order_rpc.py [order id]

Kill it wherever you like (kill -9) and start it again: it goes on where it was. The database and
the list of calls that the services got are in the current folder, or in $EXAMPLE_FOLDER.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from unbroken import FlowFailed, Unbroken, capture, effect, flow

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
SECONDS = float(os.environ.get("EXAMPLE_SECONDS", "1"))  # how long a service takes to answer


@dataclass
class Order:
    """What the customer asked for."""

    id: str
    customer: str
    product: str
    total: Decimal


# --- the flow


@flow
async def order_flow(order: Order) -> str:
    """Bring an order to its end; what is captured is remembered and not done again."""
    payment_id = await capture(uuid4)  # the same after any crash
    await capture(payments.reserve, payment_id, order.customer, order.total)
    tracking_number = await logistics.ship(order.customer, order.product)
    await capture(payments.take, payment_id)
    await capture(emails.send, order.customer, f"on its way: {tracking_number}")
    return tracking_number


# --- the services, as far as this program needs them


class Payments:
    """Captured calls run at least once; a repeated one carries the same id, so it pays once."""

    async def reserve(self, payment_id: UUID, customer: str, amount: Decimal) -> None:
        """Set the customer's money aside."""
        await call(f"reserve {amount} of {customer}, payment {payment_id}")

    async def take(self, payment_id: UUID) -> None:
        """Take the money that was set aside."""
        await call(f"take the money of payment {payment_id}")


class Logistics:
    """It cannot recognise a repeated call, so it must not get one."""

    @effect(at_most_once=True)
    async def ship(self, customer: str, product: str) -> str:
        """Send a parcel. Killed in the middle, nobody knows: the flow fails, a person looks."""
        await call(f"ship {product} to {customer}")
        return "TRACK-1"


class Emails:
    """Two equal e-mails do no harm."""

    async def send(self, customer: str, text: str) -> None:
        """Write to a customer."""
        await call(f"write to {customer}: {text}")


payments, logistics, emails = Payments(), Logistics(), Emails()


async def call(what: str) -> None:
    """Stand for a call over the network: it is noted, and it takes a while."""
    note(what)
    print(what)
    await asyncio.sleep(SECONDS)


def note(what: str) -> None:
    """Add a line to the list of calls."""
    with (FOLDER / "order_rpc.calls").open("a") as calls:
        calls.write(f"{what}\n")


# --- the program


async def main(order_id: str) -> None:
    """Start the order, or go on with it, and wait for its end."""
    app = Unbroken(f"sqlite:///{FOLDER / 'order_rpc.db'}")
    orders = app.register(order_flow)
    async with app:
        order = Order(order_id, "ann", "a book", Decimal("19.90"))
        try:
            print("done:", await orders.run(order_id, order))
        except FlowFailed as failure:
            print("a person must look:", failure)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "MK-54321"))
