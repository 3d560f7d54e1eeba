"""Run it, kill it with kill -9 while it sleeps, run it again."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

from unbroken import Unbroken, capture, effect, flow, sleep


async def reserve_funds(order: str, payment: UUID) -> None:
    print(f"reserving for {order}: {payment}")


@effect(at_most_once=True)  # begins once, over all processes and crashes
async def ship(order: str) -> str:
    print("shipping", order)
    return "TRACK-1"


@flow
async def order_flow(order: str) -> str:
    payment = await capture(uuid4)  # made once, the same after any crash
    await capture(reserve_funds, order, payment)
    await sleep(timedelta(seconds=20))  # or days=365: costs no memory
    return await ship(order)


async def main() -> None:
    app = Unbroken("sqlite:///shop.db")
    orders = app.register(order_flow)  # typed: orders.run("MK-1", 42) fails in your editor
    async with app:
        print(await orders.run("MK-1", "a book"))


if __name__ == "__main__":
    asyncio.run(main())
