"""Locks that are no names, limits that are no numbers, and awaits that are forgotten."""

from datetime import timedelta

from unbroken import Flows, Unbroken, correlate, flow, lock, semaphore, uncorrelate

SHORT = timedelta(seconds=5)


@flow
async def guarded(order: int) -> None:
    async with lock(order):  # refused: argument
        pass
    async with lock():  # refused: argument
        pass
    async with lock("x", timeout=5):  # refused: argument
        pass
    async with lock("x", SHORT):  # refused: argument
        pass
    async with lock("x", suspend_after=5):  # refused: argument
        pass
    async with semaphore("printers"):  # refused: argument
        pass
    async with semaphore(3, "printers"):  # refused: argument
        pass
    async with semaphore("printers", "3"):  # refused: argument
        pass
    async with semaphore("printers", 3, timeout=5):  # refused: argument
        pass
    with lock("x"):  # refused: attribute
        pass


@flow
async def reached(order: str) -> None:
    correlate(order)  # refused: await
    uncorrelate(order)  # refused: await
    await correlate(7)  # refused: argument
    await correlate(order, key="k")  # refused: argument


async def routing(flows: Flows[[str], None]) -> None:
    await flows.route_message("text")  # refused: argument
    await flows.route_message("text", 7)  # refused: argument
    await flows.route_message("text", "order-7", key=7)  # refused: argument
    await flows.route_message("text", correlation="order-7")  # refused: argument


async def operating(app: Unbroken) -> None:
    app.queue(7)  # refused: argument
    await app.queue("x").release("orders")  # refused: argument
    await app.queue("x").release("orders", 7)  # refused: argument
    print((await app.queue("x").holders())[0].id)  # refused: attribute
