"""Streams that are cut short: by a crash, a cancel, a race, a failure, a flow that begins anew."""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, row, stored_effects
from tests.flows.database import change
from unbroken import FlowCancelled, Messages, Retry, Status, flow, gather, message, messages, race
from unbroken.testing import VirtualClock

T = TypeVar("T")

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@dataclass
class Paid:
    amount: int


class Refused(Exception):
    pass


async def through(stream: Messages[T]) -> list[T]:
    return [one async for one in stream]


async def test_what_a_vanished_process_had_pulled_is_pulled_again(shared: Apps) -> None:
    seen: list[int] = []

    @flow
    async def collecting() -> list[int]:
        numbers = messages(int).map(lambda n: seen.append(n) or n)
        first = await numbers.take(2).completion()
        return first + [n async for n in numbers.where(lambda n: n > 3).take(2)]

    _, hung = await shared.hang(collecting)
    await hung.schedule("a")
    await hung.send_message("a", 1)
    await hung.send_message("a", 2)
    await hung.send_message("a", 3)
    while seen != [1, 2, 3]:
        await asyncio.to_thread(int)
    app = shared()
    flows = app.register(collecting)
    async with app:
        await shared.clock.advance(LEASE + SECOND)
        await flows.send_message("a", 4)
        await flows.send_message("a", 5)
        assert await flows.completion("a") == [1, 2, 4, 5]
    assert seen == [1, 2, 3, 3, 4, 5]


async def test_branches_with_streams_of_their_own_share_the_inbox(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def both() -> list[list[int]]:
        even = messages(int).where(lambda n: n % 2 == 0).take(2).completion()
        odd = through(messages(int).where(lambda n: n % 2 == 1).take(2))
        return list(await gather(even, odd))

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(both)
    async with app:
        scheduled = await flows.schedule("a")
        for number in (1, 2, 4, 3):
            await flows.send_message("a", number)
            await clock.settle()
        assert await scheduled.completion() == [[2, 4], [1, 3]]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_what_a_stream_in_progress_holds_comes_back_when_it_is_cut(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    async def collect() -> list[int]:
        return await messages(int).take(3).completion()

    async def fail() -> None:
        await message(str)
        raise Refused("enough")

    async def get(stream: Messages[int]) -> list[int]:
        return [await stream.first() for _ in range(2)]

    @flow
    async def cut() -> list[int]:
        try:
            await gather(collect(), fail())
        except Refused:
            return await get(messages(int))
        return []

    app = apps(suspend_after=suspend_after)
    flows = app.register(cut)
    async with app:
        scheduled = await flows.schedule("a")
        for one in (1, 2, "now"):
            await flows.send_message("a", one)
            await clock.settle()
        assert await scheduled.completion() == [1, 2]
        assert "gather/0/messages:int.cut" in stored_effects(app, "a")


async def test_what_a_cut_stream_gives_back_wakes_who_waits_for_it(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def both() -> list[object]:
        limit = asyncio.timeout(None)

        async def collect() -> None:
            with contextlib.suppress(TimeoutError):
                async with limit:
                    await messages(int).take(3).completion()

        async def stop() -> None:
            await message(str)
            limit.reschedule(0)

        await message(str)
        return list(await gather(collect(), message(int), stop()))

    app = apps()
    flows = app.register(both)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", 2)
        await flows.send_message("a", "go")
        await clock.settle()
        assert (await row(app, "both", "a")).status is Status.LIVE
        await flows.send_message("a", "stop")
        assert await scheduled.completion() == [None, 2, None]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
@pytest.mark.parametrize("sent", [[1], [1, 2], [1, 2, 3, 4]])
@pytest.mark.parametrize(
    "use",
    [lambda: messages(int).take(2).completion(), lambda: through(messages(int).take(2))],
)
async def test_messages_that_the_loser_of_a_race_had_taken_go_back(
    apps: Apps, clock: VirtualClock, use: Any, sent: list[int], suspend_after: timedelta
) -> None:
    async def collect() -> None:
        await use()
        await use()
        await message(Paid)

    @flow
    async def racing() -> list[int]:
        index, _ = await race(collect(), message(str))
        assert index == 1
        return [await message(int) for _ in sent]

    app = apps(suspend_after=suspend_after)
    flows = app.register(racing)
    async with app:
        scheduled = await flows.schedule("a")
        for number in sent:
            await flows.send_message("a", number)
            await clock.settle()
        await flows.send_message("a", "enough")
        assert await scheduled.completion() == sent


async def test_an_answer_that_landed_although_it_was_cut_goes_back_after_a_crash(
    shared: Apps,
) -> None:
    """The loser was cancelled while its answer was under way, and then the process died."""

    @flow
    async def racing() -> list[int]:
        await race(messages(int).take(2).completion(), message(str))
        return [await message(int), await message(int)]

    app = shared(suspend_after=AT_ONCE)
    flows = app.register(racing)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", 1)
        await shared.clock.settle()
        assert stored_effects(app, "a") == {}
    client = shared(execute=False)
    client_flows = client.register(racing)
    async with client:
        await client_flows.send_message("a", 2)
    body = '{"type":"answer","taken":[[1,2]],"value":[1,2]}'
    insert = "INSERT INTO effects SELECT number, ?, ?, FALSE, NULL, ?, NULL, 1 FROM flows"
    change(app, insert, "messages:int", "stream", body)
    change(app, insert, "messages:int.cut", "cut", "null")
    change(app, "UPDATE messages SET consumed = 1")
    app = shared()
    flows = app.register(racing)
    async with app:
        await flows.send_message("a", "enough")
        assert await flows.completion("a") == [1, 2]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
@pytest.mark.parametrize(
    "use",
    [lambda: messages(int).take(2).completion(), lambda: through(messages(int).chunk(2).take(1))],
)
async def test_a_cancel_reaches_a_stream_and_gives_back_what_it_pulled(
    apps: Apps, clock: VirtualClock, use: Any, suspend_after: timedelta
) -> None:
    undone: list[int] = []

    @flow
    async def cancellable() -> None:
        try:
            await use()
        except FlowCancelled:
            undone.append(await messages(int).first())
            raise

    app = apps(suspend_after=suspend_after)
    flows = app.register(cancellable)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", 1)
        await clock.settle()
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await scheduled.completion()
        assert (await row(app, "cancellable", "a")).status is Status.CANCELLED
        assert undone == [1]


@pytest.mark.parametrize(
    "use", [lambda of: of.take(2).completion(), lambda of: through(of.take(2))]
)
async def test_a_flow_that_runs_again_as_declared_pulls_again_what_an_operator_refused(
    apps: Apps, clock: VirtualClock, use: Any
) -> None:
    refused: list[int] = []

    def refuse_once(number: int) -> int:
        if number == 2 and not refused:
            refused.append(number)
            raise Refused
        return number

    @flow(retry=Retry(2))
    async def retried() -> list[int]:
        return await use(messages(int).map(refuse_once))

    app = apps()
    flows = app.register(retried)
    async with app:
        scheduled = await flows.schedule("a")
        for number in (1, 2):
            await flows.send_message("a", number)
        await clock.advance(HOUR)
        assert await scheduled.completion() == [1, 2]
    assert refused == [2]


async def test_a_flow_that_begins_anew_finds_what_its_streams_did_not_pull(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def counting(total: int) -> int:
        async for number in messages(int).take(2):
            total += number
        if total < 10:
            await counting.continue_as_new(total)
        return total

    app = apps()
    flows = app.register(counting)
    async with app:
        scheduled = await flows.schedule("a", 0)
        for number in (1, 2, 3, 4, 5):
            await flows.send_message("a", number)
        assert await scheduled.completion() == 10
