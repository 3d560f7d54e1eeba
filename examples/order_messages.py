"""An order, by messages: each command goes out over a bus, each answer comes back as a message.

    python examples/order_messages.py [order id]

Between command and answer the flow waits, for as long as it takes, and may leave memory. Kill the
program wherever you like (kill -9) and start it again. The database and the bus (a file) are in the
current folder, or in $EXAMPLE_FOLDER.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from unbroken import Flows, Unbroken, capture, effect, flow, message

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
SECONDS = float(os.environ.get("EXAMPLE_SECONDS", "1"))  # how long a service takes to answer


@dataclass
class Order:
    """What the customer asked for."""

    id: str
    product: str


@dataclass
class FundsReserved:
    """Answer to `reserve-funds`."""

    payment_id: UUID


@dataclass
class ProductsShipped:
    """Answer to `ship-products`."""

    tracking_number: str


@dataclass
class FundsTaken:
    """Answer to `take-funds`."""

    payment_id: UUID


Answer = FundsReserved | ProductsShipped | FundsTaken


# --- the flow: a class, because it needs a bus


@flow(name="OrderFlow")  # the stored name: the class may be renamed
class OrderFlow:
    """Bring an order to its end by commands and answers."""

    def __init__(self, bus: "Bus") -> None:
        self.bus = bus

    async def run(self, order: Order) -> str:
        """Ask, wait for the answer, and ask the next one."""
        payment_id = await capture(uuid4)
        await self.reserve_funds(order, payment_id)
        await message(FundsReserved)  # leaves memory if it takes long
        await capture("ship products", self.bus.publish, "ship-products", order.id, payment_id)
        shipped = await message(ProductsShipped)
        await capture("take funds", self.bus.publish, "take-funds", order.id, payment_id)
        await message(FundsTaken)
        return shipped.tracking_number

    @effect  # captures itself when it is called; of `self` nothing is stored
    async def reserve_funds(self, order: Order, payment_id: UUID) -> None:
        """Say what is wanted of the payment service."""
        await self.bus.publish("reserve-funds", order.id, payment_id)


# --- the world around it


class Bus:
    """Stands for a message broker: a file with one command a line."""

    def __init__(self, file: Path) -> None:
        self.file = file

    async def publish(self, command: str, order_id: str, payment_id: UUID) -> None:
        """Put a command on the bus."""
        with self.file.open("a") as lines:
            lines.write(f"{command} {order_id} {payment_id}\n")
        print("command:", command)

    async def commands(self) -> AsyncIterator[str]:
        """Give all commands from the first one; like a broker, again after a restart."""
        self.file.touch()
        with self.file.open() as lines:
            while True:
                line = lines.readline()
                if line:
                    yield line.strip()
                else:
                    await asyncio.sleep(0.05)


async def services(bus: Bus, orders: Flows[[Order], str]) -> None:
    """Answer each command. The key makes a repeated answer the same message."""
    async for line in bus.commands():
        command, order_id, payment_id = line.split()
        await asyncio.sleep(SECONDS)
        answer = answer_to(command, UUID(payment_id))
        delivery = await orders.send_message(order_id, answer, key=line)
        print(f"answer: {type(answer).__name__}, {delivery}")


def answer_to(command: str, payment_id: UUID) -> Answer:
    """Do what the payment service and the warehouse do."""
    match command:
        case "reserve-funds":
            return FundsReserved(payment_id)
        case "ship-products":
            return ProductsShipped("TRACK-1")
        case _:
            return FundsTaken(payment_id)


# --- the program


async def main(order_id: str) -> None:
    """Start the order, or go on with it, and wait for its end."""
    bus = Bus(FOLDER / "order_messages.bus")
    app = Unbroken(f"sqlite:///{FOLDER / 'order_messages.db'}")
    orders = app.register(OrderFlow, lambda: OrderFlow(bus))
    async with app, asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(services(bus, orders))
        print("done:", await orders.run(order_id, Order(order_id, "a book")))
        answering.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "MK-54321"))
