"""Streams in trouble: faulty operators, calls that make no sense, crashes, cuts and cancels."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from tests.flows.apps import AT_ONCE, Apps, loose, stored_effects, stored_messages
from tests.flows.database import change
from unbroken import (
    FlowFailed,
    FlowParked,
    Messages,
    NameRequired,
    NotInFlow,
    UsageError,
    capture,
    current_flow,
    flow,
    message,
    messages,
    sleep,
)
from unbroken.testing import VirtualClock

T = TypeVar("T")

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@dataclass
class Paid:
    amount: int


# operators that fail


class Refused(Exception):
    pass


def refuse(number: int) -> bool:
    if number == 3:
        raise Refused(f"no {number}")
    return True


Faulty = Callable[[Messages[int]], Messages[Any]]
FAULTY: list[Faulty] = [
    lambda of: of.where(refuse),
    lambda of: of.skip(0).where(refuse),
    lambda of: of.map(refuse),
    lambda of: of.scan(0, lambda total, number: total + refuse(number)),
    lambda of: of.take_until(lambda number: not refuse(number)),
    lambda of: of.distinct_by(lambda number: refuse(number) and number),
]


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
@pytest.mark.parametrize("faulty", FAULTY)
async def test_an_error_in_an_operator_is_the_same_at_every_end_and_on_every_replay(
    apps: Apps, clock: VirtualClock, faulty: Faulty, suspend_after: timedelta
) -> None:
    seen: list[str] = []

    @flow
    async def failing() -> None:
        stream = faulty(messages(int)).skip(5)
        errors: list[str] = []
        for end in (stream.first, stream.first_or_none, stream.take(9).last, stream.first):
            try:
                await end()
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}")
        seen.append(repr(errors))
        rest = [await message(int) for _ in range(3)]
        seen.append(repr(rest))
        await message(str)

    app = apps(suspend_after=suspend_after)
    flows = app.register(failing)
    async with app:
        scheduled = await flows.schedule("a")
        for one in (1, 2, 3):
            await flows.send_message("a", one)
            await clock.settle()
        await flows.send_message("a", "end")
        await scheduled.completion()
    errors, rest = dict.fromkeys(seen)
    assert errors == repr(["Refused: no 3"] * 4)
    assert rest == "[1, 2, 3]"


async def test_an_unhandled_error_in_an_operator_fails_the_flow_and_consumes_nothing(
    apps: Apps,
) -> None:
    @flow
    async def failing() -> None:
        await messages(int).map(refuse).take(3).completion()

    app = apps()
    flows = app.register(failing)
    async with app:
        scheduled = await flows.schedule("a")
        for number in (1, 3):
            await flows.send_message("a", number)
        with pytest.raises(FlowFailed, match="Refused: no 3") as caught:
            await scheduled.completion()
        assert isinstance(caught.value.__cause__, Refused)
        assert stored_messages(app, "a") == ["1", "3"]
        assert stored_effects(app, "a") == {"messages:int": "stream"}


async def test_a_key_that_cannot_be_one_is_the_operators_error(apps: Apps) -> None:
    @flow
    async def failing() -> None:
        await messages(dict).distinct_by(loose(lambda one: one)).first()

    app = apps()
    flows = app.register(failing)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", {"a": 1})
        with pytest.raises(FlowFailed, match="TypeError: unhashable"):
            await scheduled.completion()


async def later(_: object) -> bool:
    return True


def in_disguise(one: object) -> Any:
    return later(one)


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        (lambda of: of.where(in_disguise), r"where\(…\) of a stream was given an async function"),
        (lambda of: of.skip(0).where(in_disguise), "async function"),
        (lambda of: of.map(in_disguise), r"map\(…\) of a stream"),
        (lambda of: of.scan(0, lambda total, n: in_disguise(n)), r"scan\(…\) of a stream"),
        (lambda of: of.take_until(in_disguise), r"take_until\(…\) of a stream"),
        (lambda of: of.distinct_by(in_disguise), r"distinct_by\(…\) of a stream"),
        (
            lambda of: of.map(lambda n: capture("inside", later, n)),
            "'inside' was used inside an op",
        ),
        (lambda of: of.where(lambda n: capture("inside", later, n)), "used inside an operator"),
        (lambda of: of.map(lambda n: message(str)), "NotInFlow.*body 'messages:int'"),
        (lambda of: of.map(lambda n: messages(str).first()), "NotInFlow"),
    ],
)
async def test_operators_neither_wait_nor_use_the_engine(
    apps: Apps, shape: Any, advice: str
) -> None:
    @flow
    async def asking() -> None:
        await loose(shape)(messages(int)).first()

    app = apps()
    flows = app.register(asking)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", 1)
        with pytest.raises(FlowFailed, match=advice) as caught:
            await scheduled.completion()
        assert isinstance(caught.value.__cause__, UsageError)
        assert stored_messages(app, "a") == ["1"]


async def test_operators_may_ask_which_flow_it_is(apps: Apps) -> None:
    @flow
    async def asking() -> str:
        return await messages(int).map(lambda n: f"{current_flow().id}{n}").first()

    app = apps()
    flows = app.register(asking)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", 1)
        assert await scheduled.completion() == "a1"


# calls that make no sense


NAIVE = datetime(2031, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("wrong", "kind", "advice"),
    [
        (lambda: messages(int).completion(), UsageError, r"take\(n\), take_until"),
        (lambda: messages(int).skip(1).last(), UsageError, "would wait for ever"),
        (lambda: messages(int).take(0), UsageError, "from 1 on, not 0"),
        (lambda: messages(int).take(-1), UsageError, "from 1 on"),
        (lambda: messages(int).skip(-1), UsageError, "from 0 on"),
        (lambda: messages(int).chunk(0), UsageError, "from 1 on"),
        (lambda: messages(int).until(NAIVE), UsageError, "no time zone"),
        (lambda: loose(messages(int)).where(later), UsageError, "plain function, not the async"),
        (lambda: loose(messages(int)).map(later), UsageError, r"async for … in messages\(…\)"),
        (lambda: loose(messages(int)).take("2"), TypeError, "number of messages, not '2'"),
        (lambda: loose(messages(int)).take(True), TypeError, "number of messages"),
        (lambda: loose(messages(int)).chunk(1.5), TypeError, "number of messages"),
        (lambda: loose(messages(int)).until(5), TypeError, "a timedelta or a datetime, not 5"),
        (lambda: loose(messages(int)).where(5), TypeError, "takes a function, not 5"),
        (lambda: loose(messages(int)).scan(0), TypeError, "function"),
        (lambda: loose(messages(int)).of_types(), TypeError, "takes classes"),
        (lambda: loose(messages(int)).of_types("int"), TypeError, r"write of_types\(A, B\)"),
        (loose(messages), TypeError, "takes classes"),
        (lambda: loose(messages)(int | str), TypeError, r"write messages\(A, B\)"),
        (lambda: loose(messages(int)).first(suspend_after=5), TypeError, "must be a timedelta"),
    ],
)
async def test_a_call_that_makes_no_sense_is_refused_at_once(
    apps: Apps, wrong: Any, kind: type[Exception], advice: str
) -> None:
    @flow
    async def calling() -> None:
        wrong()

    app = apps()
    flows = app.register(calling)
    async with app:
        with pytest.raises(FlowFailed, match=advice) as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, kind)
        assert stored_effects(app, "a") == {}


async def test_a_description_may_be_made_anywhere_and_used_in_flows_alone() -> None:
    stream = messages(int).where(lambda n: n > 1).take(2)
    with pytest.raises(NotInFlow, match="inside a running flow"):
        _ = stream.completion()
    with pytest.raises(NotInFlow, match="inside a running flow"):
        async for _ in stream:
            pass


async def through(stream: Messages[T]) -> list[T]:
    return [one async for one in stream]


@pytest.mark.parametrize(
    "use", [lambda: messages(int).first(), lambda: through(messages(int).take(1))]
)
async def test_a_captured_body_cannot_wait_for_a_stream(apps: Apps, use: Any) -> None:
    async def body() -> object:
        return await use()

    @flow
    async def capturing() -> None:
        await capture(body)

    app = apps()
    flows = app.register(capturing)
    async with app:
        with pytest.raises(FlowFailed, match=r"NotInFlow.*captured body 'body'"):
            await flows.run("a")


@pytest.mark.parametrize(
    "use", [lambda: messages(int).first(), lambda: through(messages(int).take(1))]
)
async def test_a_stream_cannot_begin_in_a_task_of_the_users(apps: Apps, use: Any) -> None:
    async def task() -> object:
        return await use()

    @flow
    async def tasking() -> None:
        await asyncio.create_task(task())

    app = apps()
    flows = app.register(tasking)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, NameRequired)


async def test_an_end_that_is_never_awaited_is_reported(apps: Apps) -> None:
    @flow
    async def forgetting() -> None:
        messages(int).first().close()

    app = apps()
    flows = app.register(forgetting)
    async with app:
        with pytest.raises(FlowFailed, match=r"ForgottenAwait.*'messages:int'"):
            await flows.run("a")


# what cannot be read


async def test_an_undecodable_message_of_a_wanted_type_parks_and_others_are_left_alone(
    shared: Apps,
) -> None:
    @flow
    async def paying() -> list[int]:
        return await messages(Paid).map(lambda paid: paid.amount).take(2).completion()

    app = shared(suspend_after=AT_ONCE)
    flows = app.register(paying)
    async with app:
        for id in ("parked", "fine"):
            await flows.schedule(id)
            await shared.clock.settle()
            await flows.send_message(id, Paid(1), key="1")
            await flows.send_message(id, datetime(2030, 1, 1, tzinfo=UTC))
    spoil = "UPDATE messages SET body = ? WHERE flow = (SELECT number FROM flows WHERE id = ?)"
    change(app, f"{spoil} AND key = '=1'", '"?"', "parked")
    change(app, f"{spoil} AND key <> '=1'", '"?"', "fine")
    app = shared()
    flows = app.register(paying)
    async with app:
        for id in ("parked", "fine"):
            await flows.send_message(id, Paid(2))
        assert await flows.completion("fine") == [1, 2]
        with pytest.raises(FlowParked, match=r"amount|object"):
            await flows.completion("parked")
        assert len(stored_messages(app, "parked")) == 3


async def test_a_stream_does_not_see_the_messages_of_the_engine(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def child() -> int:
        return 7

    @flow
    async def parent() -> list[object]:
        scheduled = await child.schedule("child")
        await sleep(HOUR)
        mine = await messages(object).until(HOUR).completion()
        return [mine, await scheduled.completion()]

    app = apps(suspend_after=AT_ONCE)
    app.register(child)
    flows = app.register(parent)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(HOUR)
        await flows.send_message("a", 1)
        await clock.advance(HOUR)
        assert await scheduled.completion() == [[1], 7]
