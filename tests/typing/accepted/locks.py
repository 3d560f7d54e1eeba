"""Locks, semaphores, correlation ids and the operator's view of a queue."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import assert_type

from tests.typing.shop import FundsReserved
from unbroken import (
    Delivery,
    Flows,
    LockQueue,
    QueuedFlow,
    Unbroken,
    correlate,
    flow,
    lock,
    semaphore,
    uncorrelate,
)

SHORT = timedelta(seconds=5)


@flow
async def guarded(name: str, limit: int, patience: timedelta | None) -> int:
    async with lock(name) as nothing, semaphore("printers", limit, timeout=patience):
        assert_type(nothing, None)
    either: AbstractAsyncContextManager[None] = lock(name, timeout=SHORT, suspend_after=SHORT)
    async with either:
        pass
    async with semaphore("printers", 3, suspend_after=SHORT):
        return 1  # an exit that lets errors pass: the checkers miss no return below


@flow
async def reached(order: str) -> None:
    assert_type(await correlate(order), None)
    assert_type(await uncorrelate(order), None)


async def routing(flows: Flows[[str], None], reserved: FundsReserved) -> None:
    assert_type(await flows.route_message(reserved, "order-7"), list[Delivery])
    assert_type(await flows.route_message(reserved, "order-7", key="k"), list[Delivery])


async def operating(app: Unbroken) -> None:
    queue = app.queue("inventory/42")
    assert_type(queue, LockQueue)
    assert_type(queue.name, str)
    assert_type(await queue.holders(), Sequence[QueuedFlow])
    for waiting in await queue.waiting():
        assert_type(waiting.since, datetime)
        assert_type(await queue.release(waiting.flow_type, waiting.flow_id), bool)
