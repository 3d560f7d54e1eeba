"""Many messages: each is read and looked at once, however they come and whoever waits."""

import gc
import tracemalloc
from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.flows.apps import Apps, stored_effects, stored_messages
from unbroken import Envelope, Flows, flow, message, messages
from unbroken.serialization.serializer import Payload, Serializer
from unbroken.testing import VirtualClock

MANY = 10_000
FEW = 1_000
DAY = timedelta(days=1)


class Reading(msgspec.Struct, frozen=True):
    value: int


class Noise(msgspec.Struct, frozen=True):
    value: int


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str | None]:
    """Count how often something is read, by the stored name of its type."""
    counted: Counter[str | None] = Counter()
    decode = Serializer.decode

    def counting(self: Serializer, payload: Payload, annotation: object = Any) -> object:
        counted[payload.type and payload.type.rpartition(":")[2]] += 1
        return decode(self, payload, annotation)

    monkeypatch.setattr(Serializer, "decode", counting)
    return counted


async def send(flows: Flows[..., Any], *many: object) -> None:
    await flows.send_messages([Envelope("a", one) for one in many])


@pytest.mark.parametrize("url", ["sqlite-memory"], indirect=True)
async def test_many_messages_go_through_one_stream_and_each_is_looked_at_once(
    apps: Apps, clock: VirtualClock, read: Counter[str | None]
) -> None:
    asked: Counter[str] = Counter()

    def is_counted(name: str) -> bool:
        asked[name] += 1
        return True

    @flow
    async def collecting() -> int:
        await message(str)
        numbers = messages(Reading).where(lambda _: is_counted("where")).map(lambda one: one.value)
        chunks = numbers.where(lambda _: is_counted("later")).chunk(100).take(MANY // 100)
        found = await chunks.completion()
        assert [number for chunk in found for number in chunk] == list(range(MANY))
        await message(str)
        return len(found)

    app = apps(suspend_after=DAY)
    flows = app.register(collecting)
    async with app:
        scheduled = await flows.schedule("a")
        await send(flows, *map(Noise, range(MANY)), *map(Reading, range(MANY)), "go")
        await clock.settle()
        assert len(stored_messages(app, "a")) == MANY
        assert asked == {"where": MANY, "later": MANY}
        assert read == {"Reading": MANY, "str": 2}
        await send(flows, "end")
        assert await scheduled.completion() == MANY // 100


@pytest.mark.parametrize("url", ["sqlite-memory"], indirect=True)
async def test_messages_that_come_one_by_one_are_looked_at_once_by_a_stream_that_waits(
    apps: Apps, clock: VirtualClock, read: Counter[str | None]
) -> None:
    asked: list[int] = []

    def is_last(number: int) -> bool:
        asked.append(number)
        return number == MANY - 1

    @flow
    async def waiting() -> int:
        return await messages(Reading).map(lambda one: one.value).where(is_last).first()

    app = apps(suspend_after=DAY)
    flows = app.register(waiting)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        for number in range(MANY):
            noise = [Noise(number)] if number % 10 == 0 else []
            await send(flows, *noise, Reading(number))
        assert await scheduled.completion() == MANY - 1
    assert asked == list(range(MANY))
    assert read["Noise"] == 0
    assert read["Reading"] == MANY


@pytest.mark.parametrize("url", ["sqlite-memory"], indirect=True)
async def test_waits_in_a_loop_do_not_look_at_what_others_are_to_get(
    apps: Apps, clock: VirtualClock, read: Counter[str | None]
) -> None:
    @flow
    async def looping() -> int:
        await message(str)
        total = 0
        for _ in range(MANY):
            total += (await message(Reading)).value
        return total

    app = apps(suspend_after=DAY)
    flows = app.register(looping)
    async with app:
        scheduled = await flows.schedule("a")
        await send(flows, *map(Noise, range(MANY)), *map(Reading, range(MANY)), "go")
        assert await scheduled.completion() == sum(range(MANY))
    assert read["Noise"] == 0
    # Each is read to be looked at, and once more from its record, for the flow.
    assert read["Reading"] == 2 * MANY


@pytest.mark.parametrize("url", ["sqlite-memory"], indirect=True)
async def test_a_loop_over_many_messages_reads_each_once(
    apps: Apps, clock: VirtualClock, read: Counter[str | None]
) -> None:
    @flow
    async def looping() -> int:
        await message(str)
        totals = messages(Reading).scan(0, lambda total, one: total + one.value)
        return [total async for total in totals.take(FEW)][-1]

    app = apps(suspend_after=DAY)
    flows = app.register(looping)
    async with app:
        scheduled = await flows.schedule("a")
        await send(flows, *map(Noise, range(FEW)), *map(Reading, range(FEW)), "go")
        assert await scheduled.completion() == sum(range(FEW))
        assert len(stored_effects(app, "a")) == FEW + 1
    assert read["Noise"] == 0
    assert read["Reading"] == FEW


@flow
async def waits_for_message() -> int:
    return await message(int)


@flow
async def waits_for_first() -> int:
    return await messages(int).first()


@pytest.mark.parametrize("url", ["sqlite-memory"], indirect=True)
@pytest.mark.parametrize("waiting", [waits_for_message, waits_for_first])
async def test_a_flow_that_waits_in_memory_is_small(
    apps: Apps, clock: VirtualClock, waiting: Any
) -> None:
    app = apps(suspend_after=DAY, warm_limit=10 * FEW, concurrency=10 * FEW)
    flows = app.register(waiting)
    async with app:
        sizes: list[int] = []
        for page in range(2):
            tracemalloc.start(1)
            await flows.bulk_schedule(flows.prepare(f"{page}-{n}") for n in range(FEW))
            await clock.settle()
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
        assert sizes[-1] / FEW <= 4.3 * 1024
