"""Streams: what operators and ends give, what they consume, and what they leave to others."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, row, stored_effects, stored_messages
from unbroken import FlowFailed, Messages, StreamEnded, flow, message, messages, sleep
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


def amount_of(paid: Paid) -> int:
    return paid.amount


def is_odd(number: int) -> bool:
    return number % 2 == 1


def add(total: int, number: int) -> int:
    return total + number


Shape = Callable[[Messages[int]], Messages[Any]]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (lambda of: of.take(3), [5, 3, 3]),
        (lambda of: of.where(is_odd).take(3), [5, 3, 3]),
        (lambda of: of.map(str).take(2), ["5", "3"]),
        (lambda of: of.scan(0, add).take(4), [5, 8, 11, 15]),
        (lambda of: of.skip(2).take(2), [3, 4]),
        (lambda of: of.skip(0).take(1), [5]),
        (lambda of: of.take_until(lambda n: n == 4), [5, 3, 3]),
        (lambda of: of.distinct_by(lambda n: n % 10).take(4), [5, 3, 4, 2]),
        (lambda of: of.chunk(2).take(2), [[5, 3], [3, 4]]),
        (lambda of: of.take(3).chunk(2), [[5, 3], [3]]),
        (lambda of: of.take(4).chunk(2), [[5, 3], [3, 4]]),
        (lambda of: of.take(5).chunk(2).chunk(2), [[[5, 3], [3, 4]], [[15]]]),
        (lambda of: of.take_until(is_odd), []),
        (lambda of: of.take(3).take(2), [5, 3]),
        (lambda of: of.take(2).skip(5), []),
        (lambda of: of.map(str).of_types(str).take(1), ["5"]),
        (lambda of: of.map(str).where(lambda text: text != "3").take(3), ["5", "4", "15"]),
        (lambda of: of.distinct_by(int).skip(1).scan(0, add).chunk(2).take(1), [[3, 7]]),
    ],
)
async def test_operators_do_what_their_names_say(
    apps: Apps, clock: VirtualClock, shape: Shape, expected: list[Any], suspend_after: timedelta
) -> None:
    @flow
    async def all_of_it() -> list[Any]:
        return await shape(messages(Paid).map(amount_of)).completion()

    app = apps(suspend_after=suspend_after)
    flows = app.register(all_of_it)
    async with app:
        scheduled = await flows.schedule("a")
        for amount in (5, 3, 3, 4, 15, 2, 7, 5):
            await flows.send_message("a", Paid(amount))
            await clock.settle()
        assert await scheduled.completion() == expected


async def test_a_stream_takes_several_types_and_their_subclasses_in_order(apps: Apps) -> None:
    @flow
    async def mixed() -> list[str]:
        found = await messages(Paid, Shipped).take(3).completion()
        return [repr(one) for one in found]

    app = apps()
    flows = app.register(mixed)
    async with app:
        scheduled = await flows.schedule("a")
        for one in (Shipped("T"), "other", PaidTwice(1, 2), Paid(3)):
            await flows.send_message("a", one)
        expected = [repr(Shipped("T")), repr(PaidTwice(1, 2)), repr(Paid(3))]
        assert await scheduled.completion() == expected
        assert stored_messages(app, "a") == ['"other"']


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_what_the_leading_where_does_not_select_stays_for_other_waits(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    @flow
    async def picky() -> list[int]:
        large = messages(Paid).where(lambda paid: paid.amount > 10).where(lambda p: p.amount < 90)
        first = await large.take(2).completion()
        rest = [await message(Paid) for _ in range(3)]
        return [paid.amount for paid in first + rest]

    app = apps(suspend_after=suspend_after)
    flows = app.register(picky)
    async with app:
        scheduled = await flows.schedule("a")
        for amount in (1, 20, 99, 2, 30):
            await flows.send_message("a", Paid(amount))
            await clock.settle()
        assert await scheduled.completion() == [20, 30, 1, 99, 2]


async def test_leading_types_select_too(apps: Apps) -> None:
    @flow
    async def picky() -> list[str]:
        shipped = await messages(Paid, Shipped).of_types(Shipped).first()
        return [shipped.tracking, str((await message(Paid)).amount)]

    app = apps()
    flows = app.register(picky)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", Paid(1))
        await flows.send_message("a", Shipped("T"))
        assert await scheduled.completion() == ["T", "1"]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_an_end_consumes_what_it_pulled_and_nothing_behind_its_answer(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    @flow
    async def summing() -> list[int]:
        totals = messages(Paid).map(amount_of).scan(0, add)
        ten = await totals.where(lambda total: total >= 10).first()
        seven = await message(Paid)
        await message(str)
        return [ten, seven.amount]

    app = apps(suspend_after=suspend_after)
    flows = app.register(summing)
    async with app:
        scheduled = await flows.schedule("a")
        for amount in (4, 5, 6, 7, 8):
            await flows.send_message("a", Paid(amount))
            await clock.settle()
        assert stored_messages(app, "a") == ['{"amount":8}']
        await flows.send_message("a", "end")
        assert await scheduled.completion() == [15, 7]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_two_streams_after_each_other_share_no_message(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    @flow
    async def twice() -> list[list[int]]:
        pair = messages(Paid).map(amount_of).distinct_by(int).take(2)
        pairs = [await pair.completion(), await pair.completion()]
        await message(str)
        return pairs

    app = apps(suspend_after=suspend_after)
    flows = app.register(twice)
    async with app:
        scheduled = await flows.schedule("a")
        for amount in (1, 1, 2, 1, 2, 3):
            await flows.send_message("a", Paid(amount))
            await clock.settle()
        assert stored_effects(app, "a") == {"messages:Paid": "stream", "messages:Paid#2": "stream"}
        assert stored_messages(app, "a") == ['{"amount":3}']
        await flows.send_message("a", "end")
        assert await scheduled.completion() == [[1, 2], [1, 2]]


async def test_the_initial_total_is_not_shared_between_uses(apps: Apps) -> None:
    def collect(total: list[int], number: int) -> list[int]:
        total.append(number)
        return total

    @flow
    async def twice() -> list[list[int]]:
        collected = messages(int).scan(list[int](), collect).take(2)
        return [await collected.last(), await collected.last()]

    app = apps()
    flows = app.register(twice)
    async with app:
        scheduled = await flows.schedule("a")
        for number in (1, 2, 3, 4):
            await flows.send_message("a", number)
        assert await scheduled.completion() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_each_end_gives_its_answer(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    @flow
    async def ends() -> list[object]:
        numbers = messages(int)
        return [
            await numbers.first(),
            await numbers.first_or_none(),
            await numbers.take(2).last(),
            await numbers.take(2).completion(),
            await numbers.take_until(is_odd).first_or_none(),
            await numbers.take_until(is_odd).completion(),
        ]

    app = apps(suspend_after=suspend_after)
    flows = app.register(ends)
    async with app:
        scheduled = await flows.schedule("a")
        for number in (1, 2, 3, 4, 5, 6, 7, 9):
            await flows.send_message("a", number)
            await clock.settle()
        assert await scheduled.completion() == [1, 2, 4, [5, 6], None, []]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
@pytest.mark.parametrize("end", ["first", "last"])
async def test_a_stream_that_ends_without_a_value_says_so_and_consumes_what_ended_it(
    apps: Apps, clock: VirtualClock, end: str, suspend_after: timedelta
) -> None:
    @flow
    async def ended() -> list[str]:
        try:
            await getattr(messages(int).take_until(is_odd), end)()
        except StreamEnded as error:
            return [str(error), str(await message(int))]
        return []

    app = apps(suspend_after=suspend_after)
    flows = app.register(ended)
    async with app:
        scheduled = await flows.schedule("a")
        for number in (1, 2):
            await flows.send_message("a", number)
            await clock.settle()
        text, rest = await scheduled.completion()
        assert "nothing reached its end" in text
        assert rest == "2"


# limits


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
@pytest.mark.parametrize(
    ("end", "sent", "expected"),
    [
        ("first", [], "StreamEnded"),
        ("first", [1], 1),
        ("first_or_none", [], None),
        ("first_or_none", [1], 1),
        ("last", [], "StreamEnded"),
        ("last", [1, 2], 2),
        ("completion", [], []),
        ("completion", [1, 2], [1, 2]),
    ],
)
async def test_a_limit_ends_a_stream_with_what_came_until_then(
    apps: Apps,
    clock: VirtualClock,
    end: str,
    sent: list[int],
    expected: object,
    suspend_after: timedelta,
) -> None:
    @flow
    async def limited() -> object:
        try:
            return await getattr(messages(int).until(MINUTE), end)()
        except StreamEnded as error:
            return type(error).__name__

    app = apps(suspend_after=suspend_after)
    flows = app.register(limited)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        for number in sent:
            await flows.send_message("a", number)
            await clock.advance(timedelta(seconds=10))
        await clock.advance(HOUR)
        assert await scheduled.completion() == expected


async def test_a_limit_lets_the_partial_chunk_out_wherever_it_stands(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def limited() -> list[list[list[int]]]:
        before = await messages(int).until(MINUTE).chunk(2).completion()
        after = await messages(int).chunk(2).until(MINUTE).completion()
        return [before, after]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(limited)
    async with app:
        scheduled = await flows.schedule("a")
        for numbers in ((1, 2, 3), (4,)):
            for number in numbers:
                await flows.send_message("a", number)
            await clock.advance(MINUTE)
        assert await scheduled.completion() == [[[1, 2], [3]], [[4]]]


async def test_of_several_limits_the_earliest_counts(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def limited() -> int | None:
        noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
        return await messages(int).until(noon).until(HOUR).until(2 * HOUR).first_or_none()

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(limited)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(HOUR - MINUTE)
        assert (await row(app, "limited", "a")).due_at is not None
        await clock.advance(MINUTE)
        assert await scheduled.completion() is None


async def test_a_message_sent_up_to_the_deadline_wins_however_late_it_is_looked_at(
    shared: Apps,
) -> None:
    @flow
    async def limited() -> list[int]:
        return await messages(int).until(MINUTE).completion()

    app = shared()
    flows = app.register(limited)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
    for number in (1, 2):
        await shared.clock.advance(MINUTE / 2)
        client = shared(execute=False)
        client_flows = client.register(limited)
        async with client:
            await client_flows.send_message("a", number)
    await shared.clock.advance(MINUTE)
    client = shared(execute=False)
    client_flows = client.register(limited)
    async with client:
        await client_flows.send_message("a", 3)
    app = shared()
    flows = app.register(limited)
    async with app:
        assert await flows.completion("a") == [1, 2]
        assert stored_messages(app, "a") == ["3"]


async def test_a_limit_that_is_over_takes_what_is_there_already(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def impatient() -> list[int]:
        await sleep(HOUR)
        return await messages(int).until(AT_ONCE).completion()

    app = apps()
    flows = app.register(impatient)
    async with app:
        scheduled = await flows.schedule("a")
        for number in (1, 2):
            await flows.send_message("a", number)
        await clock.advance(HOUR)
        assert await scheduled.completion() == [1, 2]


async def test_the_deadline_is_gone_once_the_answer_is_there(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def limited() -> None:
        await messages(int).until(HOUR).first()
        await message(str)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(limited)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        assert stored_effects(app, "a") == {"messages:int.due": "deadline"}
        assert (await row(app, "limited", "a")).due_at is not None
        await flows.send_message("a", 1)
        await clock.settle()
        assert stored_effects(app, "a") == {"messages:int": "stream"}
        assert (await row(app, "limited", "a")).due_at is None


async def test_suspend_after_is_how_long_an_end_stays_in_memory(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def patient() -> list[int]:
        return await messages(int).take(2).completion(suspend_after=HOUR)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(patient)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(HOUR - MINUTE)
        assert (await row(app, "patient", "a")).owner is not None
        await flows.send_message("a", 1)
        await clock.advance(HOUR - MINUTE)
        assert (await row(app, "patient", "a")).owner is not None
        await clock.advance(MINUTE)
        assert (await row(app, "patient", "a")).owner is None
        await flows.send_message("a", 2)
        assert await scheduled.completion() == [1, 2]


# what is recorded


async def test_the_answer_and_its_consumption_are_one_write(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def pair() -> None:
        await messages(int).take(2).completion()
        await message(str)

    app = apps()
    flows = app.register(pair)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", 1)
        await clock.settle()
        assert stored_effects(app, "a") == {}
        assert stored_messages(app, "a") == ["1"]
        await flows.send_message("a", 2)
        await clock.settle()
        assert stored_effects(app, "a") == {"messages:int": "stream"}
        assert stored_messages(app, "a") == []


async def test_a_replay_gives_the_recorded_answers_and_runs_no_operator(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[str] = []
    asked: list[int] = []

    def noted(number: int) -> int:
        asked.append(number)
        return number

    @flow
    async def recorded() -> None:
        numbers = messages(int).map(noted)
        first = [await numbers.take(2).completion(), await numbers.first()]
        late = [await numbers.until(MINUTE).first_or_none(), await messages(Paid).first()]
        seen.append(repr(first + late))
        await message(str)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(recorded)
    async with app:
        scheduled = await flows.schedule("a")
        for one in (1, 2, 3, PaidTwice(1, 2)):
            await flows.send_message("a", one)
        await clock.settle()
        await clock.advance(HOUR)
        await flows.send_message("a", 4)
        await clock.settle()
        asked_before = list(asked)
        await flows.send_message("a", "end")
        await scheduled.completion()
    assert len(seen) >= 2
    assert set(seen) == {repr([[1, 2], 3, None, PaidTwice(1, 2)])}
    assert asked == asked_before
    assert set(asked) == {1, 2, 3}


async def test_an_answer_is_an_object_of_its_own_with_its_own_type(apps: Apps) -> None:
    totals: list[object] = []

    def keep(paid: Paid) -> Paid:
        totals.append(paid)
        return paid

    @flow
    async def own() -> list[str]:
        found = await messages(Paid).map(keep).take(2).completion()
        return [repr(one) for one in found] + [str(found[0] is totals[0])]

    app = apps(strict=True)
    flows = app.register(own)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", PaidTwice(1, 2))
        await flows.send_message("a", Paid(3))
        expected = [repr(PaidTwice(1, 2)), repr(Paid(3)), "False"]
        assert await scheduled.completion() == expected


async def test_an_answer_that_cannot_be_kept_is_a_recorded_failure(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[str] = []

    @flow
    async def unkept() -> None:
        try:
            await messages(int).map(lambda _: object()).first()
        except Exception as error:
            seen.append(type(error).__name__)
        assert await messages(int).first() == 1
        await message(str)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(unkept)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", 1)
        await clock.settle()
        await flows.send_message("a", "end")
        await scheduled.completion()
    assert len(seen) >= 2
    assert set(seen) == {"NotSerializable"}


async def test_an_answer_that_is_too_large_is_a_recorded_failure(apps: Apps) -> None:
    @flow
    async def large() -> None:
        await messages(str).take(3).completion()

    app = apps(payload_limit=4096)
    flows = app.register(large)
    async with app:
        scheduled = await flows.schedule("a")
        for _ in range(3):
            await flows.send_message("a", "x" * 1500)
        with pytest.raises(FlowFailed, match=r"PayloadTooLarge.*'messages:str'"):
            await scheduled.completion()
        assert len(stored_messages(app, "a")) == 3
