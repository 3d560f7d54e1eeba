"""What a run leaves behind: questions, answers, context variables, places in queues."""

import asyncio
from contextvars import ContextVar
from datetime import timedelta

import msgspec
import pytest

from tests.flows.apps import Apps, count_rows, until
from unbroken import (
    FlowFailed,
    QuestionRefused,
    Retry,
    UsageError,
    capture,
    flow,
    for_each,
    lock,
    message,
    messages,
    question,
    saga,
    sleep,
)
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NEVER = timedelta(days=10_000)

ran: list[str] = []


class Stop(msgspec.Struct):
    pass


class Ask(msgspec.Struct):
    text: str


class Other(msgspec.Struct):
    pass


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


async def note(what: str) -> str:
    ran.append(what)
    return what


# what continue as new leaves behind


@flow
async def leaving_a_question(run: int) -> None:
    if run:
        await message(Stop)
        return
    await question(Ask)
    await leaving_a_question.continue_as_new(run + 1)


async def test_a_question_left_unanswered_is_refused_when_the_flow_continues(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(leaving_a_question)
    async with app:
        await flows.schedule("a", 0)
        asking = asyncio.create_task(flows.ask("a", Ask("?"), str, timeout=HOUR))
        await clock.advance(HOUR / 2)
        with pytest.raises(QuestionRefused, match="continued as new without an answer"):
            await asking


@flow
async def answering(run: int) -> None:
    asked = await question(Ask)
    await asked.answer(f"{run}: {asked.value.text}")
    await answering.continue_as_new(run + 1)


async def test_who_looks_after_the_answer_was_forgotten_does_not_wait_for_ever(
    shared: Apps,
) -> None:
    late = VirtualClock()
    app, client = shared(lease=NEVER), shared(execute=False, lease=NEVER, clock=late)
    flows, client_flows = app.register(answering), client.register(answering)
    async with app, client:
        await flows.schedule("a", 0)
        asking = asyncio.create_task(client_flows.ask("a", Ask("far"), str))
        while not count_rows(app, "messages"):
            await late.settle()
        await shared.clock.advance(MINUTE)
        for run in (1, 2, 3):
            assert await flows.ask("a", Ask("near"), str) == f"{run}: near"
        await late.advance(MINUTE)
        with pytest.raises(QuestionRefused, match="ask again"):
            await asking


VARIABLE = ContextVar("VARIABLE", default="unset")


@flow
async def setting(run: int) -> list[str]:
    ran.append(VARIABLE.get())
    VARIABLE.set(f"set by {run}")
    if run < 2:
        await setting.continue_as_new(run + 1)
    return ran


async def test_a_context_variable_lasts_one_incarnation(apps: Apps) -> None:
    app = apps()
    flows = app.register(setting)
    async with app:
        assert await flows.run("a", 0) == ["unset"] * 3


# messages of a block that begins anew


@flow(retry=Retry(3, initial_delay=MINUTE))
async def paying() -> list[str]:
    async with saga() as way_back:
        way_back.undo(note, "undo")
        first = await message(Ask)
        second = await messages(Ask).take(2).completion()
        asked = await question(Other)
        await asked.answer(len(ran))
        await sleep(MINUTE)
        if len(ran) < 2:
            raise ValueError("not yet")
    return [first.text, *(one.text for one in second)]


async def test_a_retried_block_finds_its_messages_again_but_answered_questions(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps(suspend_after=timedelta(0))
    flows = app.register(paying)
    async with app:
        await flows.schedule("a")
        for text in "abc":
            await flows.send_message("a", Ask(text))
        for run in range(3):
            asking = asyncio.create_task(flows.ask("a", Other(), int))
            await clock.settle()
            await until(asking.done)
            assert await asking == run
            await clock.advance(3 * MINUTE)
        assert await flows.completion("a") == ["a", "b", "c"]
        assert ran == ["undo", "undo"]


@flow
async def paying_once() -> str:
    async with saga():
        asked = await message(Ask)
        ran.append(asked.text)
        if len(ran) < 2:
            raise ValueError("not yet")
    return asked.text


async def test_a_restarted_block_finds_its_messages_again(apps: Apps, clock: VirtualClock) -> None:
    app = apps(suspend_after=timedelta(0))
    flows = app.register(paying_once)
    async with app:
        await flows.schedule("a")
        await flows.send_message("a", Ask("a"))
        with pytest.raises(FlowFailed):
            await flows.completion("a")
        panel = await flows.control_panel("a")
        assert panel is not None
        assert await (await panel.restart()).completion() == "a"


# sagas and loops


@pytest.mark.parametrize("stay", [timedelta(0), HOUR], ids=["suspended", "warm"])
async def test_a_saga_in_an_item_is_not_part_of_one_around_the_loop(
    apps: Apps, clock: VirtualClock, stay: timedelta
) -> None:
    refused: list[str] = []

    @flow
    async def looping() -> None:
        async with saga() as around:
            around.undo("around", note, "undo around")

            async def item(number: int) -> None:
                with pytest.raises(UsageError, match="Open a saga in the item"):
                    around.undo(note, "never")
                refused.append("")
                async with saga() as own:
                    own.undo("own", note, f"undo {number}")
                    if number == 2:
                        raise ValueError("no")
                await sleep(MINUTE)

            await for_each(range(3), item)

    app = apps(suspend_after=stay)
    flows = app.register(looping)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        with pytest.raises(FlowFailed):
            await flows.completion("a")
        assert refused
        assert ran == ["undo 2", "undo around"]


# a lock that was held when something inside of it ran


@flow
async def guarded() -> None:
    async with lock("shelf"):
        await capture(note, "inside")


@flow
async def holding() -> None:
    async with lock("shelf"):
        await message(Stop)


async def test_what_runs_again_inside_of_a_lock_takes_it_again(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows, others = app.register(guarded), app.register(holding)
    async with app:
        await flows.run("a")
        await others.schedule("b")
        await clock.settle()
        panel = await flows.control_panel("a")
        assert panel is not None
        await panel.effects.remove("note")
        restarted = await panel.restart()
        await clock.settle()
        assert ran == ["inside"]
        await others.send_message("b", Stop())
        await restarted.completion()
        assert ran == ["inside", "inside"]
