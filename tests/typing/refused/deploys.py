"""Wrong uses of `patched`, versions, aliases and logging."""

from tests.typing.shop import Order, fetch
from unbroken import ReplayFilter, capture, current_flow, effect, flow, patched


@effect(aliases=[1])  # refused: argument
async def ship(order: Order) -> str:
    return order.id


@effect(aliases=[])
async def insure(order: Order) -> str:
    return order.id


def declare() -> None:
    flow(version="2")  # refused: argument
    flow(aliases=[1])  # refused: argument


@flow
async def deployed(order: Order) -> None:
    patched(2)  # refused: argument
    patched()  # refused: argument
    patched(name="insurance")  # refused: argument
    current_flow().logger.info()  # refused: argument
    await insure(order.id)  # refused: argument
    await capture("f", effect(fetch, aliases=5), "a")  # refused: argument
    ReplayFilter(5)  # refused: argument
