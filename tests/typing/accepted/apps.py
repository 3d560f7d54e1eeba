"""The app: its settings and its life."""

import asyncio
from datetime import timedelta
from typing import assert_type

from tests.typing.shop import Order, order_flow
from unbroken import FlowFailed, Unbroken


async def life(order: Order) -> None:
    app = Unbroken("sqlite:///shop.db", suspend_after=timedelta(0), lease=timedelta(seconds=20))
    orders = app.register(order_flow)
    async with app as entered:
        assert_type(entered, Unbroken)
        assert_type(await orders.run("MK-1", order), str)
    assert_type(await app.start(), None)
    assert_type(await app.stop(grace=timedelta(seconds=1)), None)
    assert_type(await app.stop(timedelta(seconds=1)), None)
    assert_type(await app.serve(), None)
    assert_type(app.durability, str)


async def several(order: Order) -> None:
    client = Unbroken("sqlite:///shop.db", execute=False, retention=None, threads=4)
    other = Unbroken("sqlite://", concurrency=5, warm_limit=0, payload_limit=4096, strict=True)
    handles = [app.register(order_flow) for app in (client, other)]
    started = [handle.run("MK-1", order) for handle in handles]
    assert_type(await asyncio.gather(*started), list[str])


async def failed(order: Order) -> None:
    orders = Unbroken("sqlite://").register(order_flow)
    try:
        await orders.run("MK-1", order)
    except FlowFailed as failure:
        assert_type(failure.flow_id, str)
        assert_type(failure.error.type, str)
        assert_type(failure.error.message, str)
        assert_type(failure.error.traceback, str)
