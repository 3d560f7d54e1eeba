"""What the page on asyncio says of the things one may write inside a flow."""

import asyncio
import io
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

import unbroken
from tests.docs.named_tests import NAMED, absent, named_in
from tests.docs.pages import ROOT, blocks_of
from unbroken import FlowFailed, Unbroken, capture, flow, message, postpone, sleep
from unbroken.testing import VirtualClock

MINUTE = timedelta(minutes=1)


class Once:
    """Runs one flow to its end in virtual time, and keeps what its parts noted."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def note(self, text: str = "noted") -> str:
        self.noted.append(text)
        return text

    async def run(self, function: Callable[[], Coroutine[Any, Any, object]]) -> object:
        clock = VirtualClock()
        app = Unbroken("sqlite://", clock=clock)
        flows = app.register(flow(name="once")(function))
        async with app:
            ended = asyncio.ensure_future(flows.run("1"))
            await clock.run_until(ended)
            return await ended


@pytest.fixture
def once() -> Once:
    return Once()


# The left column of the page's table, as the body of a flow, and the error that the page names.
MISTAKES = {
    "capture(note)": "ForgottenAwait",
    "await capture(uuid4())": "TypeError",
    "await capture(lambda: note())": "NameRequired",
    "await capture(numbers)": "GeneratorRefused",
    "await capture('numbers', lambda: numbers())": "GeneratorRefused",
    "await capture(waiting_body)": "NotInFlow",
    "await sleep(5)": "TypeError",
    "await sleep_until(datetime(2030, 1, 1))": "UsageError",
    "await capture('nan', lambda: float('nan'))": "NotSerializable",
    "await capture('object', lambda: object())": "NotSerializable",
    "await capture('large', lambda: 'x' * (1 << 20))": "PayloadTooLarge",
    "raise asyncio.CancelledError": "UsageError",
    "await asyncio.create_task(asks())": "NameRequired",
}


def numbers() -> Iterator[int]:
    yield 1


async def waiting_body() -> None:
    await sleep(MINUTE)


async def asks() -> UUID:
    return await capture(uuid4)


NAMES: dict[str, Any] = {
    "asks": asks,
    "asyncio": asyncio,
    "datetime": datetime,
    "numbers": numbers,
    "uuid4": uuid4,
    "waiting_body": waiting_body,
}


@pytest.mark.filterwarnings("ignore:coroutine 'perform' was never awaited")
@pytest.mark.parametrize("mistake", MISTAKES)
async def test_mistake_is_the_error_that_the_page_names(once: Once, mistake: str) -> None:
    names = {**vars(unbroken), **NAMES, "note": once.note}
    exec(f"async def function():\n    {mistake}", names)
    with pytest.raises(FlowFailed) as failed:
        await once.run(names["function"])
    assert failed.value.error.type.rpartition(":")[2] == MISTAKES[mistake]
    assert once.noted == []


async def test_effects_in_finally_wait_for_the_true_end_and_plain_calls_do_not(once: Once) -> None:
    async def function() -> None:
        try:
            await sleep(MINUTE)
        finally:
            once.note("plain")
            await capture(once.note, "effect")

    await once.run(function)
    assert once.noted == ["plain", "plain", "effect"]


async def test_swallowed_suspension_is_overruled(once: Once) -> None:
    async def function() -> str:
        try:
            await sleep(MINUTE)
        except BaseException:  # the mistake that the page warns of
            return "wrong"
        return "right"

    assert await once.run(function) == "right"


async def test_except_exception_does_not_see_a_suspension(once: Once) -> None:
    async def function() -> list[str]:
        try:
            await sleep(MINUTE)
        except Exception:
            once.note("seen")
        return once.noted

    assert await once.run(function) == []


async def test_what_a_body_sets_in_the_context_is_dropped(once: Once) -> None:
    variable = ContextVar("variable", default="before")

    async def body() -> None:
        variable.set("in the body")

    async def function() -> str:
        await capture(body)
        return variable.get()

    assert await once.run(function) == "before"


async def test_uncaptured_code_runs_in_each_incarnation(once: Once) -> None:
    async def function() -> int:
        once.note("uncaptured")
        if len(once.noted) < 3:
            await postpone(MINUTE)
        return len(once.noted)

    assert await once.run(function) == 3


async def test_time_limit_of_a_message_is_durable(once: Once) -> None:
    async def function() -> bool:
        return await message(str, timeout=timedelta(days=3)) is None

    assert await once.run(function) is True


async def test_the_logger_of_the_page_says_each_line_once() -> None:
    (block,) = [one for one in blocks_of(ROOT / "docs" / "asyncio.md") if "ReplayF" in one.source]
    with block.imported() as module:
        written = io.StringIO()
        module.handler.setStream(written)
        clock = VirtualClock()
        app = Unbroken("sqlite://", clock=clock)
        orders = app.register(module.order_flow)
        async with app:
            scheduled = await orders.schedule("MK-1")
            await clock.advance(timedelta(days=30))
            await scheduled.completion()
        module.log.removeHandler(module.handler)
    assert written.getvalue() == "order_flow MK-1: begins\n"


@pytest.mark.parametrize(
    ("name", "total"), [("with_gather", 12), ("with_a_task_group", 9), ("with_names", 9)]
)
async def test_ways_to_branch_give_all_results(name: str, total: int) -> None:
    tasks = next(block for block in blocks_of(ROOT / "docs" / "asyncio.md") if name in block.source)
    with tasks.imported() as module:
        app = Unbroken("sqlite://")
        flows = app.register(vars(module)[name])
        async with app:
            assert await flows.run("1") == total


def test_every_case_of_the_page_names_tests_that_exist() -> None:
    table = (ROOT / "docs" / "asyncio.md").read_text(encoding="utf-8").partition("| Shown by |")[2]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert len(rows) == 31
    assert [row for row in rows if not NAMED.search(row)] == []
    assert absent(named_in(table)) == []
