"""Values that cannot be kept: a named error with the path; nothing is written, nothing lost."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, count_rows, loose
from unbroken import (
    Delivery,
    Envelope,
    FlowFailed,
    NotSerializable,
    PayloadTooLarge,
    SerializationError,
    capture,
    flow,
    message,
    sleep,
)
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


class Socket:
    """Something that no store can hold."""


@dataclass
class Line:
    price: float
    extra: object = None


@dataclass
class Order:
    id: int
    lines: list[Line] = field(default_factory=list)


@dataclass
class GiftOrder(Order):
    gift: bool = False


class Temperature(float):
    """A float that would come back as a plain one."""


@flow
async def take(value: object) -> None:
    return


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
            await loose(doubles).run("a", None)
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
    async def lenient(a: int | None, b: Any, c: object, d: int = loose(None)) -> list[object]:
        return [a, b, c, d]

    app = apps()
    flows = app.register(lenient)
    async with app:
        assert await loose(flows).run("a", None, None, None, None) == [None] * 4


async def test_a_result_of_another_type_than_annotated_keeps_its_own(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[object] = []

    def lying() -> int:
        return loose("seven")

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


async def test_a_subclass_behind_its_base_is_kept_whole_and_not_sliced(apps: Apps) -> None:
    def special() -> Order:
        return GiftOrder(1, [], gift=True)

    @flow
    async def giving() -> Order:
        return await capture(special)

    app = apps()
    flows = app.register(giving)
    async with app:
        assert await flows.run("a") == GiftOrder(1, [], gift=True)


async def test_a_flow_that_ends_takes_no_more_messages_and_says_so(apps: Apps) -> None:
    app = apps()
    flows = app.register(double)
    async with app:
        await flows.run("a", 1)
        assert await flows.send_message("a", "late") is Delivery.FLOW_ENDED
        assert await flows.send_message("b", "early") is Delivery.NO_SUCH_FLOW
