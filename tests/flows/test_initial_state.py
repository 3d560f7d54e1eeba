"""Flows that find effects and messages before their first line runs."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.flows.apps import AT_ONCE, Apps, count_rows, events_of, loose, names_of, row
from unbroken import (
    Delivery,
    EffectInterrupted,
    FlowFailed,
    InitialMessage,
    InitialState,
    InvalidId,
    NotSerializable,
    PayloadTooLarge,
    Status,
    UsageError,
    capture,
    current_flow,
    effect,
    flow,
    message,
    sleep,
)
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)
WANTED = UUID(int=7)

launched: list[str] = []


class ShipError(Exception):
    pass


@dataclass
class Order:
    id: str
    total: Decimal


class Color(Enum):
    RED = "red"


@dataclass
class Paid:
    amount: int


@effect(at_most_once=True)
async def fire_rocket(target: str) -> str:
    launched.append(target)
    return f"hit {target}"


async def ship(order: str) -> str:
    launched.append(order)
    return f"shipped {order}"


@pytest.fixture(autouse=True)
def nothing_launched() -> None:
    launched.clear()


@flow
async def transaction() -> UUID:
    return await capture("transaction_id", uuid4)


@flow
async def rocket(target: str) -> str:
    try:
        return await fire_rocket(target)
    except EffectInterrupted as error:
        return f"interrupted {error.key}"


@flow
async def shipping(order: str) -> str:
    try:
        return await capture("ship", ship, order)
    except ShipError as error:
        return f"ShipError {error}"


@flow
async def payments(count: int) -> list[int]:
    return [(await message(Paid)).amount for _ in range(count)]


# effects


async def test_an_initial_effect_is_there_before_the_first_line_runs(apps: Apps) -> None:
    app = apps()
    flows = app.register(transaction)
    async with app:
        seeded = flows.options(initial=InitialState(effects={"transaction_id": WANTED}))
        assert await seeded.run("a") == WANTED
        assert await flows.run("b") != WANTED


async def test_an_initial_effect_survives_leaving_memory(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def twice() -> tuple[UUID, UUID]:
        first = await capture("transaction_id", uuid4)
        await sleep(HOUR)
        return first, await capture("late", uuid4)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(twice)
    initial = InitialState(effects={"transaction_id": WANTED, "late": WANTED})
    async with app:
        scheduled = await flows.options(initial=initial).schedule("a")
        await clock.advance(HOUR)
        assert await scheduled.completion() == (WANTED, WANTED)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        5,
        1.5,
        "text",
        b"bytes",
        WANTED,
        Decimal("1.10"),
        date(2030, 1, 1),
        datetime(2030, 1, 1, tzinfo=UTC),
        timedelta(days=2),
        Color.RED,
        Order("MK-1", Decimal("9.99")),
        [1, 2],
        [WANTED],
        (1, "a"),
        {"a": Order("b", Decimal(1))},
        {WANTED: {1, 2}},
        frozenset({"x"}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("annotated", [True, False])
async def test_an_initial_effect_comes_back_as_it_was_whatever_reads_it(
    apps: Apps, value: Any, annotated: bool
) -> None:
    async def work():
        raise AssertionError("it must not run")

    if annotated:
        work.__annotations__["return"] = type(value)

    @flow
    async def reads() -> str:
        return repr(await capture("value", work))

    app = apps()
    flows = app.register(reads)
    async with app:
        initial = InitialState(effects={"value": value})
        assert await flows.options(initial=initial).run("a") == repr(value)


async def test_an_initial_effect_may_be_of_a_class_that_is_made_in_a_function(apps: Apps) -> None:
    @dataclass
    class Local:
        n: int

    async def make() -> Local:
        raise AssertionError("it must not run")

    @flow
    async def reads() -> int:
        return (await capture("local", make)).n

    app = apps()
    flows = app.register(reads)
    async with app:
        initial = InitialState(effects={"local": Local(5)})
        assert await flows.options(initial=initial).run("a") == 5


async def test_an_initial_effect_needs_no_annotation_in_a_strict_app(apps: Apps) -> None:
    app = apps(strict=True)
    flows = app.register(transaction)
    async with app:
        initial = InitialState(effects={"transaction_id": WANTED})
        assert await flows.options(initial=initial).run("a") == WANTED


async def test_a_failed_initial_effect_raises_its_error(apps: Apps) -> None:
    app = apps()
    flows = app.register(shipping)
    async with app:
        initial = InitialState(failed={"ship": ShipError("no ships")})
        assert await flows.options(initial=initial).run("a", "book") == "ShipError no ships"
    assert launched == []


async def test_a_failed_initial_effect_fails_the_flow_that_does_not_catch_it(apps: Apps) -> None:
    app = apps()
    flows = app.register(transaction)
    async with app:
        initial = InitialState(failed={"transaction_id": LookupError("gone")})
        with pytest.raises(FlowFailed) as failure:
            await flows.options(initial=initial).run("a")
        assert failure.value.error.message == "gone"


async def test_a_started_at_most_once_effect_refuses(apps: Apps) -> None:
    app = apps()
    flows = app.register(rocket)
    async with app:
        initial = InitialState(started=["fire_rocket"])
        assert await flows.options(initial=initial).run("a", "x") == "interrupted fire_rocket"
        assert await flows.run("b", "y") == "hit y"
    assert launched == ["y"]


async def test_a_flow_with_an_initial_effect_is_not_replaying(apps: Apps) -> None:
    @flow
    async def tells() -> list[bool]:
        before = current_flow().replaying
        await capture("a", uuid4)
        return [before, current_flow().replaying]

    app = apps()
    flows = app.register(tells)
    async with app:
        initial = InitialState(effects={"a": WANTED})
        assert await flows.options(initial=initial).run("x") == [False, False]


async def test_an_initial_effect_that_nobody_reads_disturbs_nothing(apps: Apps) -> None:
    app = apps()
    events = events_of(app)
    flows = app.register(transaction)
    async with app:
        initial = InitialState(effects={"other": 1}, started=["more"])
        assert await flows.options(initial=initial).run("a") != WANTED
        assert (await row(app, "transaction", "a")).status is Status.DONE
    assert "flow.unread_effects" not in names_of(events)


# messages


async def test_initial_messages_are_in_the_inbox_in_order(apps: Apps) -> None:
    app = apps()
    flows = app.register(payments)
    async with app:
        initial = InitialState(messages=[Paid(1), Paid(2), InitialMessage(Paid(3))])
        assert await flows.options(initial=initial).run("a", 3) == [1, 2, 3]


async def test_of_initial_messages_with_equal_keys_the_first_one_counts(apps: Apps) -> None:
    app = apps()
    flows = app.register(payments)
    twice = [InitialMessage(Paid(1), "k"), InitialMessage(Paid(9), "k"), Paid(2)]
    async with app:
        scheduled = await flows.options(initial=InitialState(messages=twice)).schedule("a", 3)
        assert await flows.send_message("a", Paid(9), key="k") is Delivery.DUPLICATE
        assert await flows.send_message("a", Paid(3)) is Delivery.ACCEPTED
        assert await scheduled.completion() == [1, 2, 3]


async def test_initial_messages_of_equal_value_without_keys_are_two(apps: Apps) -> None:
    app = apps()
    flows = app.register(payments)
    async with app:
        initial = InitialState(messages=[Paid(1), Paid(1)])
        assert await flows.options(initial=initial).run("a", 2) == [1, 1]


# every way to start


async def test_an_initial_state_goes_with_every_way_to_start(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(transaction)
    seeded = flows.options(initial=InitialState(effects={"transaction_id": WANTED}))
    async with app:
        await seeded.run("run")
        await seeded.schedule("schedule")
        await seeded.schedule_at("at", datetime(2030, 1, 1, 1, tzinfo=UTC))
        await seeded.schedule_in("in", HOUR)
        starts = [seeded.prepare(f"bulk-{n}") for n in range(3)]
        assert await flows.bulk_schedule([*starts, flows.prepare("plain")]) == 4
        await clock.advance(HOUR)
        ids = ["run", "schedule", "at", "in", "bulk-0", "bulk-1", "bulk-2"]
        assert {await flows.completion(id) for id in ids} == {WANTED}
        assert await flows.completion("plain") != WANTED


async def test_a_client_gives_an_initial_state_to_a_flow_that_runs_elsewhere(
    shared: Apps, clock: VirtualClock
) -> None:
    client, server = shared(execute=False), shared()
    from_client, _ = client.register(payments), server.register(payments)
    async with client, server:
        initial = InitialState(messages=[Paid(4), Paid(5)])
        running = asyncio.create_task(from_client.options(initial=initial).run("a", 2))
        for _ in range(3):  # one hears of the other's write at most once a move
            await clock.advance(HOUR)
        assert await running == [4, 5]


async def test_a_message_may_create_its_flow_with_an_initial_state(apps: Apps) -> None:
    app = apps()
    flows = app.register(payments)
    async with app:
        start = flows.options(initial=InitialState(messages=[Paid(1)])).prepare("a", 2)
        assert await flows.send_message("a", Paid(2), start=start) is Delivery.ACCEPTED
        assert await flows.completion("a") == [1, 2]


async def test_an_initial_state_is_ignored_where_the_flow_exists(apps: Apps) -> None:
    app = apps()
    flows = app.register(payments)
    async with app:
        await flows.schedule("a", 1)
        initial = InitialState(effects={"x": 1}, messages=[Paid(9)])
        attached = await flows.options(initial=initial, strict=True).schedule("a", 1)
        await flows.send_message("a", Paid(1))
        assert await attached.completion() == [1]


async def test_a_child_is_started_with_an_initial_state(apps: Apps, clock: VirtualClock) -> None:
    app = apps(suspend_after=AT_ONCE)
    children = app.register(payments)

    @flow
    async def parent() -> list[int]:
        seeded = children.options(initial=InitialState(messages=[Paid(6)]))
        await sleep(HOUR)
        return await seeded.run("child", 1)

    parents = app.register(parent)
    async with app:
        scheduled = await parents.schedule("a")
        await clock.advance(HOUR)
        assert await scheduled.completion() == [6]


# bad input


@pytest.mark.parametrize("name", ["a.b", "a#2", "a/b", "", "x" * 256, "a\0b"])
@pytest.mark.parametrize("field", ["effects", "failed", "started"])
def test_a_name_that_no_effect_can_have_is_refused(name: str, field: str) -> None:
    given: Any = {"effects": {name: 1}, "failed": {name: ShipError()}, "started": [name]}[field]
    with pytest.raises(InvalidId, match="name of an initial effect"):
        loose(InitialState)(**{field: given})


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidId):
        InitialState(effects=loose({5: 1}))


@pytest.mark.parametrize(
    "fields",
    [
        {"effects": {"a": 1}, "failed": {"a": ShipError()}},
        {"effects": {"a": 1}, "started": ["a"]},
        {"failed": {"a": ShipError()}, "started": ["a"]},
        {"started": ["a", "a"]},
    ],
    ids=["result and error", "result and begun", "error and begun", "begun twice"],
)
def test_a_name_that_is_given_twice_is_refused(fields: Any) -> None:
    with pytest.raises(UsageError, match="'a' is given twice"):
        InitialState(**fields)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"started": "fire_rocket"}, "started=…\\): give a list of names, not str"),
        ({"messages": "hello"}, "messages=…\\): give a list of messages, not str"),
        ({"messages": Paid(1)}, "messages=…\\): give a list of messages, not Paid"),
        ({"effects": ["a"]}, "effects=…\\): give a dict of results by name, not list"),
        ({"failed": ["a"]}, "failed=…\\): give a dict of exceptions by name, not list"),
        ({"failed": {"a": ShipError}}, "give an exception, ready to be raised"),
        ({"failed": {"a": "text"}}, "give an exception, ready to be raised"),
        ({"failed": {"a": KeyboardInterrupt()}}, "give an exception, ready to be raised"),
    ],
)
def test_what_is_no_list_mapping_or_exception_is_refused(fields: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        InitialState(**fields)


def test_a_bad_message_key_is_refused() -> None:
    with pytest.raises(InvalidId, match="message key"):
        InitialState(messages=[InitialMessage(Paid(1), "")])


@pytest.mark.parametrize(
    ("initial", "error"),
    [
        (InitialState(effects={"a": object()}), NotSerializable),
        (InitialState(effects={"a": float("nan")}), NotSerializable),
        (InitialState(effects={"a": "x" * 5000}), PayloadTooLarge),
        (InitialState(effects={"a": lambda: 1}), NotSerializable),
        (InitialState(messages=[None]), NotSerializable),
        (InitialState(messages=[Paid(1), object()]), NotSerializable),
        (InitialState(messages=["x" * 5000]), PayloadTooLarge),
    ],
    ids=["object", "nan", "large", "lambda", "no message", "object message", "large message"],
)
async def test_what_cannot_be_kept_is_refused_before_anything_is_written(
    apps: Apps, initial: InitialState, error: type[Exception]
) -> None:
    app = apps(payload_limit=4096)
    flows = app.register(transaction)
    async with app:
        seeded = flows.options(initial=initial)
        with pytest.raises(error):
            await seeded.run("a")
        with pytest.raises(error):
            await seeded.schedule("a")
        with pytest.raises(error):
            seeded.prepare("a")
        assert count_rows(app, "flows") == 0
