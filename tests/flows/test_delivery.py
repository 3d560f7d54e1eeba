"""What becomes of messages sent: keys, batches, starts beside them, outcomes."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pytest

from tests.flows.apps import AT_ONCE, Apps, count_rows, row
from unbroken import Delivery, Envelope, FlowFailed, NotRegistered, UsageError, flow, message
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


@dataclass
class Paid:
    amount: int


@flow
async def one_payment() -> int:
    return (await message(Paid)).amount


@flow
async def three_payments() -> list[int]:
    return [(await message(Paid)).amount for _ in range(3)]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_equal_keys_are_one_message(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    app = apps(suspend_after=suspend_after)
    flows = app.register(three_payments)
    async with app:
        scheduled = await flows.schedule("a")
        assert await flows.send_message("a", Paid(1), key="k") is Delivery.ACCEPTED
        await clock.settle()
        assert await flows.send_message("a", Paid(2), key="k") is Delivery.DUPLICATE
        await flows.send_message("a", Paid(3), key="l")
        await clock.settle()
        assert await flows.send_message("a", Paid(4), key="k") is Delivery.DUPLICATE
        await flows.send_message("a", Paid(5))
        assert await scheduled.completion() == [1, 3, 5]


async def test_a_key_stays_suppressed_over_many_restarts(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def thirty() -> list[int]:
        return [(await message(Paid)).amount for _ in range(30)]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(thirty)
    async with app:
        scheduled = await flows.schedule("a")
        for n in range(30):
            await flows.send_message("a", Paid(n), key=f"{n}")
            await clock.settle()
            for old in range(n + 1):
                delivery = await flows.send_message("a", Paid(old), key=f"{old}")
                assert delivery in {Delivery.DUPLICATE, Delivery.FLOW_ENDED}
        assert await scheduled.completion() == list(range(30))
        assert (await row(app, "thirty", "a")).incarnation >= 30


async def test_a_key_given_by_a_user_never_meets_one_that_was_made_up(apps: Apps) -> None:
    app = apps()
    flows = app.register(three_payments)
    async with app:
        scheduled = await flows.schedule("a")
        for amount, key in ((1, "+1"), (2, "=1"), (3, "1")):
            assert await flows.send_message("a", Paid(amount), key=key) is Delivery.ACCEPTED
        assert await scheduled.completion() == [1, 2, 3]


async def test_a_batch_reaches_all_flows_and_answers_in_order(apps: Apps) -> None:
    app = apps()
    flows = app.register(one_payment)
    async with app:
        for n in range(50):
            await flows.schedule(str(n))
        batch = [Envelope(str(n), Paid(n), key=f"k{n}") for n in range(51)]
        deliveries = await flows.send_messages(batch)
        assert deliveries == [Delivery.ACCEPTED] * 50 + [Delivery.NO_SUCH_FLOW]
        results = [await flows.completion(str(n)) for n in range(50)]
    assert results == list(range(50))


async def test_many_senders_to_one_flow_lose_nothing(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def collect() -> list[int]:
        return [(await message(Paid)).amount for _ in range(100)]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(collect)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        await asyncio.gather(*(flows.send_message("a", Paid(n)) for n in range(100)))
        assert Counter(await scheduled.completion()) == Counter(range(100))


async def test_a_batch_to_one_flow_keeps_its_order(apps: Apps) -> None:
    app = apps()
    flows = app.register(three_payments)
    async with app:
        scheduled = await flows.schedule("a")
        assert (
            await flows.send_messages([Envelope("a", Paid(n)) for n in (3, 1, 2)])
            == [Delivery.ACCEPTED] * 3
        )
        assert await scheduled.completion() == [3, 1, 2]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_two_flows_play_ping_pong(apps: Apps, suspend_after: timedelta) -> None:
    @flow
    async def player(me: str, other: str, *, serves: bool) -> list[int]:
        seen: list[int] = []
        if serves:
            await flows.message_writer(other).append(Paid(0), key=f"{me}-0")
        while len(seen) < 15:
            ball = await message(Paid)
            seen.append(ball.amount)
            writer = flows.message_writer(other)
            await writer.append(Paid(ball.amount + 1), key=f"{me}-{ball.amount + 1}")
        return seen

    app = apps(suspend_after=suspend_after)
    flows = app.register(player)
    async with app:
        pong = await flows.schedule("pong", "pong", "ping", serves=False)
        ping = await flows.schedule("ping", "ping", "pong", serves=True)
        assert await pong.completion() == list(range(0, 30, 2))
        assert await ping.completion() == list(range(1, 31, 2))


async def test_a_writer_appends_to_one_flow(apps: Apps) -> None:
    app = apps()
    flows = app.register(one_payment)
    async with app:
        scheduled = await flows.schedule("a")
        writer = flows.message_writer("a")
        assert await writer.append(Paid(1), key="k") is Delivery.ACCEPTED
        assert await scheduled.completion() == 1
        assert await writer.append(Paid(1), key="k") is Delivery.FLOW_ENDED


async def test_a_message_may_start_its_flow_if_it_is_absent(apps: Apps) -> None:
    @flow
    async def greet(name: str) -> str:
        return f"{await message(str)} {name}"

    app = apps()
    flows = app.register(greet)
    async with app:
        start = flows.prepare("a", "Ann")
        assert await flows.send_message("a", "hello", start=start) is Delivery.ACCEPTED
        assert await flows.completion("a") == "hello Ann"
        assert await flows.send_message("a", "again", start=start) is Delivery.FLOW_ENDED
        assert count_rows(app, "flows") == 1


async def test_a_message_with_a_start_reaches_the_flow_that_exists(apps: Apps) -> None:
    app = apps()
    flows = app.register(three_payments)
    async with app:
        for n in range(3):
            start = flows.prepare("a")
            assert await flows.send_message("a", Paid(n), start=start) is Delivery.ACCEPTED
        assert await flows.completion("a") == [0, 1, 2]


async def test_a_message_and_the_start_beside_it_are_for_one_flow(apps: Apps) -> None:
    app = apps()
    flows, others = app.register(one_payment), app.register(three_payments)
    async with app:
        with pytest.raises(UsageError, match="was prepared for another id"):
            await flows.send_message("a", Paid(1), start=flows.prepare("b"))
        with pytest.raises(NotRegistered, match="was prepared by the handle of"):
            await flows.send_message("a", Paid(1), start=cast(Any, others.prepare("a")))
        assert count_rows(app, "flows") == 0


async def test_a_message_for_nobody_says_so_and_is_not_stored(apps: Apps) -> None:
    app = apps()
    flows = app.register(one_payment)
    async with app:
        assert await flows.send_message("nobody", Paid(1)) is Delivery.NO_SUCH_FLOW
        assert count_rows(app, "messages") == 0


@pytest.mark.parametrize("ending", ["done", "failed"])
async def test_a_message_for_an_ended_flow_says_so_and_is_not_stored(
    apps: Apps, ending: str
) -> None:
    @flow
    async def end() -> None:
        if ending == "failed":
            raise ValueError

    app = apps()
    flows = app.register(end)
    async with app:
        scheduled = await flows.schedule("a")
        if ending == "failed":
            with pytest.raises(FlowFailed):
                await scheduled.completion()
        else:
            await scheduled.completion()
        assert await flows.send_message("a", Paid(1)) is Delivery.FLOW_ENDED
        assert count_rows(app, "messages") == 0
