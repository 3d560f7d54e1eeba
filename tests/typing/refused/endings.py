"""Wrong uses of cancel, time-outs, children's policies, sagas and continue as new."""

from tests.typing.shop import Order, order_flow, orders
from unbroken import flow, saga


async def release(order: Order, *, quietly: bool = False) -> None:
    print(order, quietly)


flow(timeout=30)  # refused: argument
flow(retry=3)  # refused: argument


@flow
async def parent(order: Order) -> None:
    await order_flow.options(on_cancel="kill").run("MK-1", order)  # refused: argument
    await order_flow.options(on_cancel="wait").run("MK-1")  # refused: argument
    order_flow.options(on_cancel="wait").run("MK-1", order)  # refused: await
    async with saga() as way_back:
        way_back.undo(release)  # refused: argument
        way_back.undo(release, "order")  # refused: argument
        way_back.undo(release, order, loudly=True)  # refused: argument
        way_back.undo("release", release)  # refused: argument
        way_back.redo(release, order)  # refused: attribute


@flow
async def counter(total: int) -> int:
    if total:
        counter.continue_as_new(total)  # refused: await
    await counter.continue_as_new("many")  # refused: argument


async def operator() -> None:
    await orders.cancel(1)  # refused: argument
    orders.cancel("MK-1")  # refused: await
