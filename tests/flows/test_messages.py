"""Messages: order, selection, limits, and what a wait gives on replay."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, row, stored_effects, stored_messages
from unbroken import Delivery, FlowFailed, Status, flow, message, sleep
from unbroken.testing import VirtualClock

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass
class Paid:
    amount: int


@dataclass
class PaidTwice(Paid):
    again: int


@dataclass
class Shipped:
    tracking: str


@flow
async def one_payment() -> int:
    return (await message(Paid)).amount


@flow
async def three_payments() -> list[int]:
    return [(await message(Paid)).amount for _ in range(3)]


@flow
async def payment_in_time() -> Paid | None:
    return await message(Paid, timeout=MINUTE)


async def test_a_waiting_flow_completes_after_its_message_was_sent(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(one_payment)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        assert await flows.send_message("a", Paid(7)) is Delivery.ACCEPTED
        assert await scheduled.completion() == 7


async def test_a_message_wakes_a_flow_that_left_memory(apps: Apps, clock: VirtualClock) -> None:
    app = apps(suspend_after=AT_ONCE)
    flows = app.register(one_payment)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        suspended = await row(app, "one_payment", "a")
        assert (suspended.owner, suspended.status, suspended.due_at) == (None, Status.LIVE, None)
        await flows.send_message("a", Paid(7))
        assert await scheduled.completion() == 7
        assert (await row(app, "one_payment", "a")).incarnation == 2


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_messages_come_in_the_order_in_which_they_were_sent(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    app = apps(suspend_after=suspend_after)
    flows = app.register(three_payments)
    async with app:
        scheduled = await flows.schedule("a")
        for amount in (3, 1, 2):
            await flows.send_message("a", Paid(amount))
            await clock.settle()
        assert await scheduled.completion() == [3, 1, 2]


async def test_messages_sent_before_the_flow_waits_are_kept_for_it(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def later() -> list[int]:
        await sleep(HOUR)
        return [(await message(Paid)).amount for _ in range(2)]

    app = apps()
    flows = app.register(later)
    async with app:
        scheduled = await flows.schedule("a")
        for amount in (1, 2):
            await flows.send_message("a", Paid(amount))
        await clock.advance(HOUR)
        assert await scheduled.completion() == [1, 2]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_a_wait_by_type_leaves_other_types_to_later_waits(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    @flow
    async def picky() -> list[str | int]:
        shipped = await message(Shipped)
        paid = await message(Paid)
        return [shipped.tracking, paid.amount]

    app = apps(suspend_after=suspend_after)
    flows = app.register(picky)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", Paid(1))
        await clock.settle()
        await flows.send_message("a", Shipped("T"))
        assert await scheduled.completion() == ["T", 1]


async def test_a_wait_takes_the_first_of_several_types(apps: Apps) -> None:
    @flow
    async def either() -> list[str]:
        return [type(await message(Paid, Shipped)).__name__ for _ in range(2)]

    app = apps()
    flows = app.register(either)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", Shipped("T"))
        await flows.send_message("a", Paid(1))
        assert await scheduled.completion() == ["Shipped", "Paid"]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_a_predicate_takes_the_first_match_and_leaves_the_rest(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    @flow
    async def picky() -> list[int]:
        large = await message(Paid, where=lambda paid: paid.amount >= 10)
        return [large.amount] + [(await message(Paid)).amount for _ in range(2)]

    app = apps(suspend_after=suspend_after)
    flows = app.register(picky)
    async with app:
        scheduled = await flows.schedule("a")
        for amount in (1, 10, 20):
            await flows.send_message("a", Paid(amount))
            await clock.settle()
        assert await scheduled.completion() == [10, 1, 20]


async def test_an_error_in_a_predicate_fails_the_flow_and_consumes_nothing(apps: Apps) -> None:
    @flow
    async def picky() -> None:
        await message(Paid, where=lambda paid: 1 // paid.amount > 0)

    app = apps()
    flows = app.register(picky)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", Paid(0))
        with pytest.raises(FlowFailed, match="ZeroDivisionError"):
            await scheduled.completion()
        assert stored_messages(app, "a") == ['{"amount":0}']


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_a_limited_wait_gives_the_message_or_none(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    app = apps(suspend_after=suspend_after)
    flows = app.register(payment_in_time)
    async with app:
        in_time = await flows.schedule("in time")
        too_late = await flows.schedule("too late")
        await clock.advance(MINUTE - timedelta(seconds=1))
        await flows.send_message("in time", Paid(1))
        await clock.advance(timedelta(seconds=1))
        assert await flows.send_message("too late", Paid(1)) is Delivery.FLOW_ENDED
        assert await in_time.completion() == Paid(1)
        assert await too_late.completion() is None


async def test_a_limit_may_be_a_moment(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def until_noon() -> Paid | None:
        return await message(Paid, until=datetime(2030, 1, 1, 12, tzinfo=UTC))

    app = apps()
    flows = app.register(until_noon)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(12 * HOUR - MINUTE)
        assert (await row(app, "until_noon", "a")).status is Status.LIVE
        await clock.advance(MINUTE)
        assert await scheduled.completion() is None


async def test_a_message_that_the_predicate_refuses_does_not_stop_the_limit(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def picky() -> Paid | None:
        return await message(Paid, where=lambda paid: paid.amount > 10, timeout=MINUTE)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(picky)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(MINUTE / 2)
        await flows.send_message("a", Paid(1))
        await clock.advance(MINUTE / 2)
        assert await scheduled.completion() is None


async def test_a_limit_that_is_over_takes_what_is_there_already(apps: Apps) -> None:
    @flow
    async def impatient() -> list[int]:
        taken: list[int] = []
        await message(str)
        while (paid := await message(Paid, timeout=AT_ONCE)) is not None:
            taken.append(paid.amount)
        return taken

    app = apps()
    flows = app.register(impatient)
    async with app:
        scheduled = await flows.schedule("a")
        for amount in (1, 2):
            await flows.send_message("a", Paid(amount))
        await flows.send_message("a", "go")
        assert await scheduled.completion() == [1, 2]


@pytest.mark.parametrize(("delay", "expected"), [(MINUTE / 2, Paid(1)), (2 * MINUTE, None)])
async def test_message_and_limit_are_judged_by_when_it_was_sent_and_not_by_who_looks_late(
    shared: Apps, delay: timedelta, expected: Paid | None
) -> None:
    app = shared()
    flows = app.register(payment_in_time)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
    await shared.clock.advance(delay)
    client = shared(execute=False)
    client_flows = client.register(payment_in_time)
    async with client:
        assert await client_flows.send_message("a", Paid(1)) is Delivery.ACCEPTED
    await shared.clock.advance(HOUR)
    app = shared()
    flows = app.register(payment_in_time)
    async with app:
        assert await flows.completion("a") == expected


async def test_a_completed_wait_gives_the_same_message_or_time_out_on_replay(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[tuple[object, object]] = []

    @flow
    async def twice() -> None:
        first = await message(Paid, timeout=MINUTE)
        second = await message(Paid, timeout=MINUTE)
        seen.append((first, second))
        await message(str)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(twice)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", Paid(1))
        await clock.advance(MINUTE)
        await flows.send_message("a", Paid(2))
        await clock.settle()
        await flows.send_message("a", "end")
        await scheduled.completion()
    assert len(seen) >= 2
    assert set(map(repr, seen)) == {repr((Paid(1), None))}


async def test_waiting_for_a_base_class_gives_the_concrete_one(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[object] = []

    @flow
    async def any_payment() -> None:
        seen.append(await message(Paid))
        seen.append(await message(object))
        await message(str)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(any_payment)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", PaidTwice(1, 2))
        await flows.send_message("a", Shipped("T"))
        await clock.settle()
        await flows.send_message("a", "end")
        await scheduled.completion()
    assert seen[-2:] == [PaidTwice(1, 2), Shipped("T")]
    assert len(seen) >= 4


async def test_suspend_after_is_how_long_a_wait_stays_in_memory(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def patient() -> int:
        return (await message(Paid, suspend_after=HOUR)).amount

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(patient)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(HOUR - MINUTE)
        assert (await row(app, "patient", "a")).owner is not None
        await clock.advance(MINUTE)
        assert (await row(app, "patient", "a")).owner is None
        await flows.send_message("a", Paid(1))
        assert await scheduled.completion() == 1


async def test_the_deadline_of_a_wait_is_gone_once_the_message_came(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def limited() -> None:
        await message(Paid, timeout=MINUTE)
        await message(str)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(limited)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        assert stored_effects(app, "a") == {"message:Paid.due": "deadline"}
        assert (await row(app, "limited", "a")).due_at is not None
        await flows.send_message("a", Paid(1))
        await clock.settle()
        assert stored_effects(app, "a") == {"message:Paid": "message"}
        assert (await row(app, "limited", "a")).due_at is None


async def test_a_message_and_its_consumption_are_one_write(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def two() -> None:
        await message(Paid)
        await message(str)

    app = apps()
    flows = app.register(two)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", Paid(1))
        await flows.send_message("a", Shipped("T"))
        await clock.settle()
        assert stored_effects(app, "a") == {"message:Paid": "message"}
        assert stored_messages(app, "a") == ['{"tracking":"T"}']


async def test_a_message_of_scalars_and_containers_comes_back(apps: Apps) -> None:
    @flow
    async def mixed() -> list[object]:
        return [await message(str), await message(int), await message(dict), await message(list)]

    app = apps()
    flows = app.register(mixed)
    async with app:
        scheduled = await flows.schedule("a")
        for value in ([1, 2], {"a": 1}, "text", 7):
            await flows.send_message("a", value)
        assert await scheduled.completion() == ["text", 7, {"a": 1}, [1, 2]]


async def test_each_flow_gets_a_message_object_of_its_own(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def changing() -> list[int]:
        numbers = await message(list)
        numbers.append(2)
        await sleep(HOUR)
        return numbers

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(changing)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", [1])
        await clock.advance(HOUR)
        assert await scheduled.completion() == [1, 2]
