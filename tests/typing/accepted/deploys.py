"""`patched`, versions, aliases and logging: what a flow may ask about its own code."""

import logging
from typing import assert_type

from tests.typing.shop import Order, count, fetch
from unbroken import (
    FlowLogger,
    ReplayFilter,
    Unbroken,
    capture,
    current_flow,
    effect,
    flow,
    patched,
)


@effect(aliases=["deliver"], at_most_once=True)
async def ship(order: Order) -> str:
    return order.id


@effect(aliases=[])
def insure(order: Order) -> int:
    return len(order.id)


@flow(version=2)
async def deployed(order: Order) -> str:
    assert_type(patched("insurance"), bool)
    if patched("insurance"):
        assert_type(await insure(order), int)
    assert_type(current_flow().version, int)
    assert_type(current_flow().replaying, bool)
    assert_type(current_flow().logger, FlowLogger)
    current_flow().logger.info("%s is on its way", order.id, extra={"color": "red"})
    assert_type(await capture("f", effect(fetch, aliases=("g",)), "a"), bytes)
    assert_type(await capture("c", effect(count, aliases=None), "a"), int)
    return await ship(order)


def set_up() -> None:
    handler = logging.StreamHandler()
    handler.addFilter(ReplayFilter())
    logging.getLogger("shop").addFilter(ReplayFilter("shop.orders"))
    assert_type(Unbroken("sqlite://", strict=True), Unbroken)
