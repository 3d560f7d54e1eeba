"""Waits in tasks that asyncio began: the flow leaves memory when nothing else holds it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from unbroken import Status, Unbroken, capture, flow, message
from unbroken.testing import VirtualClock


@dataclass
class Paid:
    amount: int


@dataclass
class Packed:
    boxes: int


@flow
async def waits_in_a_task_group() -> int:
    async with asyncio.TaskGroup() as group:
        paid = group.create_task(message(Paid))
        packed = group.create_task(message(Packed))
    return paid.result().amount + packed.result().boxes


@flow
async def waits_in_asyncio_gather() -> int:
    paid, packed = await asyncio.gather(message(Paid), message(Packed))
    return paid.amount + packed.boxes


@flow
async def waits_beside_running_code() -> int:
    finished = asyncio.Event()
    stop = asyncio.Event()

    async def other() -> None:
        await stop.wait()
        finished.set()

    async with asyncio.TaskGroup() as group:
        paid = group.create_task(message(Paid))
        group.create_task(other())
        running.put_nowait(stop)
    return paid.result().amount


running: asyncio.Queue[asyncio.Event] = asyncio.Queue()


async def test_a_flow_whose_task_group_only_waits_leaves_memory_and_ends_after_its_messages() -> (
    None
):
    clock = VirtualClock()
    app = Unbroken("sqlite://", clock=clock, suspend_after=timedelta(0))
    for definition in (waits_in_a_task_group, waits_in_asyncio_gather):
        handle = app.register(definition)
    async with app:
        for definition in (waits_in_a_task_group, waits_in_asyncio_gather):
            handle = app.register(definition)
            started = await handle.schedule("1")
            await clock.settle()
            assert (await handle.list())[0].owner is None
            await handle.send_message("1", Paid(3))
            await clock.settle()
            assert (await handle.list())[0].owner is None
            await handle.send_message("1", Packed(4))
            assert await started.completion() == 7


async def test_a_task_group_in_which_other_code_runs_holds_the_flow_in_memory() -> None:
    clock = VirtualClock()
    app = Unbroken("sqlite://", clock=clock, suspend_after=timedelta(0))
    handle = app.register(waits_beside_running_code)
    async with app:
        started = await handle.schedule("1")
        stop = await running.get()
        for _ in range(50):
            await asyncio.sleep(0)
        assert (await handle.list())[0].owner is not None
        stop.set()
        await clock.settle()
        assert (await handle.list())[0].owner is None
        await handle.send_message("1", Paid(3))
        stop = await running.get()
        stop.set()
        assert await started.completion() == 3
        assert (await handle.list())[0].status == Status.DONE


async def double(number: int) -> int:
    return number * 2


@flow
async def captures_in_a_task_group() -> int:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(capture(double, number)) for number in (1, 2, 3)]
    return sum(task.result() for task in tasks)


async def test_captures_taken_by_the_flow_may_run_in_tasks_of_a_group() -> None:
    app = Unbroken("sqlite://", clock=VirtualClock())
    handle = app.register(captures_in_a_task_group)
    async with app:
        assert await handle.run("1") == 12
