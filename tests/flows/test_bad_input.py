"""Bad input: a named error that says what to do; nothing is written, nothing is lost."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, count_rows, row, stored_effects, stored_messages
from unbroken import (
    Delivery,
    Envelope,
    FlowFailed,
    FlowParked,
    ForgottenAwait,
    GeneratorRefused,
    InvalidId,
    NameRequired,
    NameTaken,
    NotInFlow,
    NotRegistered,
    NotSerializable,
    PayloadTooLarge,
    SerializationError,
    Status,
    UsageError,
    ValueChanged,
    capture,
    current_flow,
    effect,
    flow,
    gather,
    message,
    now,
    postpone,
    sleep,
    sleep_until,
    suspend,
)
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


class Socket:
    """Something that no store can hold."""


class Color(Enum):
    RED = "red"


@dataclass
class Line:
    price: float
    extra: object = None


@dataclass
class Order:
    id: int
    lines: list[Line] = field(default_factory=list)


class Temperature(float):
    """A float that would come back as a plain one."""


@flow
async def take(value: object) -> None:
    return


@flow
async def take_order(order: Order) -> int:
    return order.id


@flow
async def double(n: int) -> int:
    return n * 2


@flow
async def wait_for_text() -> str:
    return await message(str)


UNFIT = [
    (Order(1, [Line(1.0), Line(2.0, Socket())]), NotSerializable, "$.value.lines[1].extra"),
    (Order(1, [Line(float("nan"))]), NotSerializable, "$.value.lines[0].price"),
    (Order(1, [Line(float("inf"))]), NotSerializable, "$.value.lines[0].price"),
    ({"a": [1, Socket()]}, NotSerializable, "$.value"),
    (lambda: 1, NotSerializable, "$.value"),
    (open, SerializationError, "$.value"),
    ([1, Temperature(2.0)], SerializationError, "$.value"),
    (iter([1]), SerializationError, "$.value"),
]


@pytest.mark.parametrize(("value", "error", "path"), UNFIT, ids=map(str, range(len(UNFIT))))
async def test_an_argument_that_cannot_be_kept_is_refused_with_its_path(
    apps: Apps, value: object, error: type[SerializationError], path: str
) -> None:
    app = apps()
    flows = app.register(take)
    async with app:
        for start in (flows.run, flows.schedule, flows.prepare):
            with pytest.raises(error) as caught:
                started = start("a", value)
                if asyncio.iscoroutine(started):
                    await started
            assert caught.value.path.startswith(path)
        assert count_rows(app, "flows") == 0


@pytest.mark.parametrize(("value", "error", "path"), UNFIT, ids=map(str, range(len(UNFIT))))
async def test_a_message_that_cannot_be_kept_is_refused_with_its_path(
    apps: Apps, value: object, error: type[SerializationError], path: str
) -> None:
    app = apps()
    flows = app.register(wait_for_text)
    async with app:
        scheduled = await flows.schedule("a")
        with pytest.raises(error) as caught:
            await flows.send_message("a", value)
        assert caught.value.path.startswith(path.replace("$.value", "$"))
        with pytest.raises(error):
            await flows.send_messages([Envelope("a", "fine"), Envelope("a", value)])
        assert count_rows(app, "messages") == 0, "not even the one that was fine"
        await flows.send_message("a", "still alive")
        assert await scheduled.completion() == "still alive"


@pytest.mark.parametrize(("value", "error", "path"), UNFIT, ids=map(str, range(len(UNFIT))))
async def test_a_result_that_cannot_be_kept_is_that_effects_failure_for_ever(
    apps: Apps, clock: VirtualClock, value: object, error: type[SerializationError], path: str
) -> None:
    caught: list[tuple[str, str]] = []
    ran: list[int] = []

    def give() -> object:
        ran.append(1)
        return value

    @flow
    async def giving() -> str:
        try:
            await capture(give)
        except SerializationError as refused:
            caught.append((type(refused).__name__, refused.path))
        await sleep(HOUR)
        return "handled"

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(giving)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == "handled"
    assert ran == [1]
    assert len(caught) == 2
    assert caught[0] == caught[1]
    assert caught[0][1].startswith(path.replace("$.value", "$"))


@pytest.mark.parametrize(("value", "error", "path"), UNFIT, ids=map(str, range(len(UNFIT))))
async def test_a_flows_result_that_cannot_be_kept_fails_the_flow(
    apps: Apps, value: object, error: type[SerializationError], path: str
) -> None:
    @flow
    async def giving() -> object:
        return value

    app = apps()
    flows = app.register(giving)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a")
    assert isinstance(caught.value.__cause__, error)


async def test_none_where_it_is_not_allowed_runs_no_code_and_tells_no_listener(
    apps: Apps,
) -> None:
    app = apps()
    told: list[object] = []
    doubles = app.register(double)
    async with app:
        app.subscribe(told.append)
        with pytest.raises(SerializationError, match=r"\$\.n: None is not allowed here"):
            await doubles.run("a", None)  # type: ignore[arg-type]  # pyright: ignore
        assert count_rows(app, "flows") == 0
    assert told == []


async def test_a_message_must_not_be_none(apps: Apps) -> None:
    app = apps()
    flows = app.register(wait_for_text)
    async with app:
        await flows.schedule("a")
        with pytest.raises(NotSerializable, match="must not be None: send an object that says"):
            await flows.send_message("a", None)
        assert count_rows(app, "messages") == 0


async def test_none_is_fine_where_the_annotation_allows_it(apps: Apps) -> None:
    @flow
    async def lenient(a: int | None, b: Any, c: object, d=7, e: int = None) -> list[object]:  # type: ignore[assignment]  # noqa: RUF013  # pyright: ignore
        return [a, b, c, d, e]

    app = apps()
    flows = app.register(lenient)
    async with app:
        assert await flows.run("a", None, None, None, None, None) == [None] * 5


async def test_a_result_of_another_type_than_annotated_keeps_its_own(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[object] = []

    def lying() -> int:
        return "seven"  # type: ignore[return-value]  # pyright: ignore

    @flow
    async def believing() -> None:
        seen.append(await capture(lying))
        await sleep(HOUR)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(believing)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        await flows.completion("a")
    assert seen == ["seven", "seven"]


async def test_a_payload_above_the_limit_is_refused_with_size_and_limit(apps: Apps) -> None:
    large = "x" * 3000
    app = apps(payload_limit=2000)
    takes, waits = app.register(take), app.register(wait_for_text)
    async with app:
        with pytest.raises(PayloadTooLarge) as caught:
            await takes.run("a", large)
        assert caught.value.limit == 2000
        assert caught.value.size > 3000
        assert count_rows(app, "flows") == 0
        await waits.schedule("a")
        with pytest.raises(PayloadTooLarge, match="raise `payload_limit`"):
            await waits.send_message("a", large)
        assert count_rows(app, "messages") == 0


async def test_a_result_above_the_limit_names_its_key_and_stays_that_failure(
    apps: Apps, clock: VirtualClock
) -> None:
    ran: list[int] = []
    caught: list[str] = []

    @effect(at_most_once=True)
    def report() -> str:
        ran.append(1)
        return "x" * 3000

    @flow
    async def reporting() -> None:
        try:
            await report()
        except PayloadTooLarge as error:
            caught.append(str(error))
        await sleep(HOUR)

    app = apps(payload_limit=2000, suspend_after=AT_ONCE)
    flows = app.register(reporting)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        await flows.completion("a")
    assert ran == [1]
    assert caught[0] == caught[1]
    assert "'report' has 3002 bytes, the limit is 2000" in caught[0]


REFUSED_IDS = ["", "x" * 256, "nul\0inside", "lone \ud800 surrogate", 7, None, b"bytes"]
FAIR_IDS = [
    " ",
    "x ",
    "x",
    "X",
    "'",
    '"',
    "--",
    "; DROP TABLE flows",
    "%",
    "_",
    "\\",
    "new\nline",
    "\u202eright to left",
    "😀",
    "x" * 255,
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "é",
    "e\u0301",
    "ß",
    "SS",
    "ß".upper().lower(),
]


@pytest.mark.parametrize("id", REFUSED_IDS, ids=ascii)
async def test_an_id_that_no_store_may_hold_is_refused_everywhere(apps: Apps, id: Any) -> None:
    app = apps()
    flows = app.register(double)
    async with app:
        calls = [
            lambda: flows.run(id, 1),
            lambda: flows.schedule(id, 1),
            lambda: flows.schedule_in(id, HOUR, 1),
            lambda: flows.schedule_at(id, datetime(2031, 1, 1, tzinfo=UTC), 1),
            lambda: flows.completion(id),
            lambda: flows.send_message(id, "x"),
            lambda: flows.send_messages([Envelope(id, "x")]),
        ]
        for call in calls:
            with pytest.raises(InvalidId, match="flow id"):
                await call()
        with pytest.raises(InvalidId, match="flow id"):
            flows.prepare(id, 1)
        with pytest.raises(InvalidId, match="flow id"):
            flows.message_writer(id)
        assert count_rows(app, "flows") == 0


async def test_hostile_ids_are_kept_as_they_are_and_apart(apps: Apps) -> None:
    app = apps()
    flows = app.register(double)
    distinct = list(dict.fromkeys(FAIR_IDS))
    async with app:
        for number, id in enumerate(distinct):
            assert await flows.run(id, number) == number * 2
        assert [info.id for info in await flows.list()] == distinct
        for number, id in enumerate(distinct):
            assert await flows.completion(id) == number * 2


@pytest.mark.parametrize("key", ["", "x" * 256, "nul\0inside", "lone \ud800", 7], ids=ascii)
async def test_a_message_key_that_no_store_may_hold_is_refused(apps: Apps, key: Any) -> None:
    app = apps()
    flows = app.register(wait_for_text)
    async with app:
        await flows.schedule("a")
        with pytest.raises(InvalidId, match="message key"):
            await flows.send_message("a", "x", key=key)
        assert count_rows(app, "messages") == 0


async def test_a_message_key_of_full_length_is_kept(apps: Apps) -> None:
    app = apps()
    flows = app.register(wait_for_text)
    async with app:
        await flows.schedule("a")
        await flows.schedule("b")
        for end, expected in (("y", Delivery.ACCEPTED), ("z", Delivery.DUPLICATE)):
            assert await flows.send_message("a", "x", key="k" * 254 + "y") is expected
            assert end


@pytest.mark.parametrize("name", ["a.b", "a#2", "a/b", "", "x" * 256, "nul\0"])
async def test_a_name_with_our_marks_is_refused_before_the_body_runs(
    apps: Apps, name: str
) -> None:
    ran: list[int] = []

    @flow
    async def naming() -> None:
        await capture(name, lambda: ran.append(1))

    app = apps()
    flows = app.register(naming)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, InvalidId)
        assert stored_effects(app, "a") == {}
    assert ran == []


async def test_a_start_prepared_by_another_handle_is_refused(apps: Apps) -> None:
    app = apps()
    doubles, takes = app.register(double), app.register(take)
    async with app:
        with pytest.raises(NotRegistered, match="was prepared by the handle of 'take'"):
            await doubles.bulk_schedule([takes.prepare("a", 1)])  # type: ignore[list-item]  # pyright: ignore
        assert count_rows(app, "flows") == 0


def yielding(n: int) -> Iterator[int]:
    yield n


async def yielding_later(n: int) -> AsyncIterator[int]:
    yield n


@pytest.mark.parametrize("work", [yielding, yielding_later])
async def test_a_generator_function_is_refused_before_its_body_runs(
    apps: Apps, work: Any
) -> None:
    @flow
    async def capturing() -> None:
        await capture(work, 1)

    app = apps()
    flows = app.register(capturing)
    async with app:
        with pytest.raises(FlowFailed, match="return a list, or use for_each") as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, GeneratorRefused)
        assert stored_effects(app, "a") == {}


@pytest.mark.parametrize("work", [yielding, yielding_later])
async def test_a_result_that_is_a_generator_is_refused_after_the_body_ran(
    apps: Apps, work: Any
) -> None:
    def give() -> object:
        return work(1)

    @flow
    async def capturing() -> None:
        await capture(give)

    app = apps()
    flows = app.register(capturing)
    async with app:
        with pytest.raises(FlowFailed, match="return a list"):
            await flows.run("a")


async def test_a_lambda_needs_a_name(apps: Apps) -> None:
    @flow
    async def capturing() -> None:
        await capture(lambda: 1)

    app = apps()
    flows = app.register(capturing)
    async with app:
        with pytest.raises(FlowFailed, match=r'write capture\("a name", lambda: …\)') as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, NameRequired)


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (lambda: capture(7), r"write capture\(fetch, url\), not capture\(fetch\(url\)\)"),
        (lambda: capture("name"), "the second argument must be a function"),
        (lambda: capture("name", 7), "the second argument must be a function"),
        (lambda: sleep(5), r"write sleep\(timedelta\(seconds=5\)\)"),
        (lambda: postpone(5), "takes a timedelta"),
        (lambda: message(), "takes classes"),
        (lambda: message("text"), "takes classes"),
        (lambda: message(int | str), r"for A \| B write message\(A, B\)"),
        (lambda: message(str, timeout=5), "timeout must be a timedelta"),
        (lambda: message(str, timeout=HOUR, until=datetime(2031, 1, 1, tzinfo=UTC)), "not both"),
    ],
)
async def test_a_call_that_makes_no_sense_is_refused_with_advice(
    apps: Apps, wrong: Any, advice: str
) -> None:
    @flow
    async def calling() -> None:
        await wrong()

    app = apps()
    flows = app.register(calling)
    async with app:
        with pytest.raises(FlowFailed, match=advice) as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, TypeError)
        assert stored_effects(app, "a") == {}


NAIVE = datetime(2031, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    "wait", [lambda: sleep_until(NAIVE), lambda: message(str, until=NAIVE)]
)
async def test_a_moment_without_a_time_zone_is_refused(apps: Apps, wait: Any) -> None:
    @flow
    async def waiting() -> None:
        await wait()

    app = apps()
    flows = app.register(waiting)
    async with app:
        with pytest.raises(FlowFailed, match="has no time zone, so it names no instant") as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, UsageError)


async def test_a_schedule_without_a_time_zone_is_refused(apps: Apps) -> None:
    app = apps()
    flows = app.register(double)
    async with app:
        with pytest.raises(UsageError, match="has no time zone"):
            await flows.schedule_at("a", NAIVE, 1)
        with pytest.raises(TypeError, match="the delay is a timedelta"):
            await flows.schedule_in("a", 5, 1)  # type: ignore[arg-type]  # pyright: ignore
        assert count_rows(app, "flows") == 0


async def test_a_naive_moment_is_fine_as_data(apps: Apps) -> None:
    @flow
    async def give() -> datetime:
        return await capture("naive", lambda: NAIVE)

    app = apps()
    flows = app.register(give)
    async with app:
        assert await flows.run("a") == NAIVE


@pytest.mark.parametrize(
    "wait",
    [
        lambda: message(str),
        lambda: sleep(HOUR),
        lambda: sleep_until(datetime(2031, 1, 1, tzinfo=UTC)),
        lambda: postpone(HOUR),
        suspend,
        now,
        gather,
    ],
    ids=["message", "sleep", "sleep_until", "postpone", "suspend", "now", "gather"],
)
@pytest.mark.parametrize("place", ["in a body", "outside"])
async def test_a_wait_works_only_in_a_flow_itself(apps: Apps, wait: Any, place: str) -> None:
    async def body() -> None:
        await wait()

    @flow
    async def capturing() -> None:
        await capture(body)

    if place == "outside":
        with pytest.raises(NotInFlow, match="only inside a running flow"):
            await wait()
        return
    app = apps()
    flows = app.register(capturing)
    async with app:
        with pytest.raises(FlowFailed, match="inside the captured body 'body'") as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, NotInFlow)
        assert (await row(app, "capturing", "a")).status is Status.FAILED


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
async def test_a_forgotten_await_is_named_at_the_flows_end(apps: Apps) -> None:
    @flow
    async def forgetful() -> str:
        capture("pay", lambda: 1)
        sleep(HOUR)
        message(str)
        gather()
        return "done"

    app = apps()
    flows = app.register(forgetful)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a")
    assert isinstance(caught.value.__cause__, ForgottenAwait)
    for key in ("pay", "sleep", "message:str", "gather"):
        assert repr(key) in str(caught.value)


async def test_an_unnamed_capture_in_a_foreign_task_is_refused(apps: Apps) -> None:
    def work() -> int:
        return 1

    async def elsewhere() -> int:
        return await capture(work)

    @flow
    async def starting() -> int:
        return await asyncio.create_task(elsewhere())

    app = apps()
    flows = app.register(starting)
    async with app:
        with pytest.raises(FlowFailed, match=r"use gather\(…\) of unbroken") as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, NameRequired)


async def test_an_unnamed_wait_in_a_foreign_task_is_refused(apps: Apps) -> None:
    async def elsewhere() -> None:
        await sleep(HOUR)

    @flow
    async def starting() -> None:
        await asyncio.create_task(elsewhere())

    app = apps()
    flows = app.register(starting)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, NameRequired)


async def test_a_name_used_twice_in_foreign_tasks_is_refused(apps: Apps) -> None:
    async def elsewhere() -> int:
        return await capture("same", lambda: 1)

    @flow
    async def starting() -> int:
        first = await asyncio.create_task(elsewhere())
        return first + await asyncio.create_task(elsewhere())

    app = apps()
    flows = app.register(starting)
    async with app:
        with pytest.raises(FlowFailed, match="give each its own") as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, NameTaken)


async def test_a_message_that_the_code_cannot_read_parks_only_that_flow(
    shared: Apps,
) -> None:
    @dataclass
    class Paid:
        amount: int

    Paid.__qualname__ = "Paid"

    @flow
    async def paying() -> int:
        return (await message(Paid)).amount

    app = shared(suspend_after=AT_ONCE)
    flows, others = app.register(paying), app.register(wait_for_text)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
        await flows.send_message("a", Paid(1))

    _spoil(app, "UPDATE messages SET body = '{\"amount\": \"many\"}'")
    app = shared()
    flows, others = app.register(paying), app.register(wait_for_text)
    async with app:
        with pytest.raises(FlowParked, match="amount"):
            await flows.completion("a")
        assert len(stored_messages(app, "a")) == 1
        scheduled = await others.schedule("b")
        await others.send_message("b", "fine")
        assert await scheduled.completion() == "fine"


async def test_arguments_that_the_code_cannot_read_park_the_flow_with_the_path(
    shared: Apps,
) -> None:
    app = shared(execute=False)
    flows = app.register(take_order)
    async with app:
        await flows.schedule("a", Order(1, [Line(2.0)]))
    _spoil(app, "UPDATE flows SET param = replace(param, '2.0', '\"two\"')")
    app = shared()
    flows = app.register(take_order)
    async with app:
        with pytest.raises(FlowParked, match=r"\$\.order\.lines\[0\]\.price"):
            await flows.completion("a")


async def test_a_result_that_the_code_cannot_read_parks_the_flow(shared: Apps) -> None:
    def color() -> Color:
        return Color.RED

    @flow
    async def painting() -> None:
        await capture(color)
        await message(str)

    app = shared()
    flows = app.register(painting)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
    _spoil(app, "UPDATE effects SET body = '\"mauve\"'")
    app = shared()
    flows = app.register(painting)
    async with app:
        await flows.send_message("a", "go on")
        with pytest.raises(FlowParked, match="mauve|Color"):
            await flows.completion("a")


def _spoil(app: Any, statement: str) -> None:
    import sqlite3

    connection = sqlite3.connect(app._store._writer._path)
    assert connection.execute(statement).rowcount == 1
    connection.commit()
    connection.close()


async def test_a_silently_changing_value_is_refused_and_not_sliced(apps: Apps) -> None:
    @dataclass
    class Special(Order):
        gift: bool = True

    @flow
    async def giving() -> None:
        await capture("special", lambda: {"order": Temperature(1.5)})

    app = apps()
    flows = app.register(giving)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, (ValueChanged, NotSerializable))
        assert json.dumps(1)


async def test_a_flow_that_ends_takes_no_more_messages_and_says_so(apps: Apps) -> None:
    app = apps()
    flows = app.register(double)
    async with app:
        await flows.run("a", 1)
        assert await flows.send_message("a", "late") is Delivery.FLOW_ENDED
        assert await flows.send_message("b", "early") is Delivery.NO_SUCH_FLOW


async def test_effects_looked_up_by_a_wrong_type_park_the_flow_or_say_so(apps: Apps) -> None:
    @flow
    async def looking() -> None:
        await capture("text", lambda: "seven")
        current_flow().effects.get("text", int)

    app = apps()
    flows = app.register(looking)
    async with app:
        with pytest.raises((FlowFailed, FlowParked)):
            await flows.run("a")
