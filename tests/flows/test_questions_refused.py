"""Questions and answers that cannot be: named errors before anything is written."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.flows.apps import Apps, count_rows, loose, stored_effects
from unbroken import (
    AppNotRunning,
    FlowFailed,
    ForgottenAwait,
    InvalidId,
    NameRequired,
    NotInFlow,
    NotSerializable,
    PayloadTooLarge,
    Question,
    UnbrokenError,
    UsageError,
    capture,
    flow,
    gather,
    question,
)
from unbroken.testing import VirtualClock

MINUTE = timedelta(minutes=1)
ask_for = loose(question)


@dataclass
class Ask:
    number: int = 1


async def plain_false(asked: Ask) -> bool:
    return False


@flow
async def answering() -> None:
    await (await question(Ask)).answer("yes")


# asking


@pytest.mark.parametrize(
    ("question", "error"),
    [(None, NotSerializable), (asyncio.Lock, NotSerializable), ("x" * 5000, PayloadTooLarge)],
)
async def test_what_cannot_be_stored_is_not_asked(
    apps: Apps, question: object, error: type[UnbrokenError]
) -> None:
    app = apps(payload_limit=1024)
    flows = app.register(answering)
    async with app:
        await flows.schedule("a")
        with pytest.raises(error):
            await flows.ask("a", question, str)
        assert count_rows(app, "messages") == 0


async def test_wrong_arguments_of_ask_are_refused(apps: Apps) -> None:
    app = apps()
    flows = loose(app.register(answering))
    async with app:
        await flows.schedule("a")
        with pytest.raises(TypeError, match="takes the class"):
            await flows.ask("a", Ask(), "str")
        with pytest.raises(TypeError, match="timedelta"):
            await flows.ask("a", Ask(), str, timeout=5)
        with pytest.raises(InvalidId):
            await flows.ask("", Ask(), str)
        with pytest.raises(InvalidId):
            await flows.ask("a", Ask(), str, key="")
        assert count_rows(app, "messages") == 0


async def test_nothing_is_asked_of_an_app_that_does_not_run(apps: Apps) -> None:
    app = apps()
    flows = app.register(answering)
    with pytest.raises(AppNotRunning):
        await flows.ask("a", Ask(), str)


async def test_who_waits_hears_that_the_app_stops(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def silent() -> None:
        await question(Ask)
        await question(Ask)

    app = apps()
    flows = app.register(silent)
    async with app:
        await flows.schedule("a")
        asking = asyncio.create_task(flows.ask("a", Ask(), str))
        await clock.settle()
    with pytest.raises(AppNotRunning):
        await asking


async def test_a_flow_asks_from_within_a_body_only(apps: Apps) -> None:
    app = apps()

    @flow
    async def asks() -> str:
        with pytest.raises(UsageError, match="capture"):
            await flows.ask("b", Ask(), str)
        return await capture("ask", flows.ask, "b", Ask(), str, key="from a")

    flows = app.register(answering)
    asking = app.register(asks)
    async with app:
        await flows.schedule("b")
        assert await asking.run("a") == "yes"


# waiting


@pytest.mark.parametrize(
    "call",
    [
        ask_for,
        lambda: ask_for("Ask"),
        lambda: ask_for(Ask()),
        lambda: ask_for(Ask | int),
        lambda: ask_for(Ask, timeout=5),
        lambda: ask_for(Ask, timeout=MINUTE, until=datetime(2040, 1, 1, tzinfo=UTC)),
        lambda: ask_for(Ask, suspend_after=5),
        lambda: ask_for(Ask, where=plain_false),
        lambda: ask_for(Ask, validate=plain_false),
    ],
)
async def test_a_wait_for_what_cannot_come_is_refused_at_once(apps: Apps, call: Any) -> None:
    @flow
    async def wrong() -> str:
        try:
            await call()
        except TypeError as error:
            return str(error)
        return "accepted"

    app = apps()
    flows = app.register(wrong)
    async with app:
        assert await flows.run("a") != "accepted"
        assert stored_effects(app, "a") == {}


async def test_a_moment_without_a_time_zone_is_refused(apps: Apps) -> None:
    @flow
    async def wrong() -> str:
        try:
            await question(Ask, until=datetime(2040, 1, 1))  # noqa: DTZ001 - that is the point
        except UsageError as error:
            return str(error)
        return "accepted"

    app = apps()
    flows = app.register(wrong)
    async with app:
        assert "question(until=…)" in await flows.run("a")


async def test_a_question_is_for_flows(apps: Apps) -> None:
    with pytest.raises(NotInFlow):
        await question(Ask)

    @flow
    async def wrong() -> str:
        async def body() -> str:
            try:
                await question(Ask)
            except NotInFlow as error:
                return str(error)
            return "accepted"

        return await capture("body", body)

    app = apps()
    flows = app.register(wrong)
    async with app:
        assert "captured body" in await flows.run("a")


async def test_a_question_needs_a_task_whose_order_is_known(apps: Apps) -> None:
    @flow
    async def wrong() -> str:
        async def elsewhere() -> str:
            try:
                await question(Ask)
            except NameRequired:
                return "refused"
            return "accepted"

        return await asyncio.create_task(elsewhere())

    app = apps()
    flows = app.register(wrong)
    async with app:
        assert await flows.run("a") == "refused"


# answering


async def answered_by(apps: Apps, use: Any, *, payload_limit: int = 1024) -> Any:
    """Let a flow use a question, and give what the flow returned and what was answered."""

    @flow
    async def uses() -> str | None:
        asked = await question(Ask)
        return await use(asked)

    app = apps(payload_limit=payload_limit)
    flows = app.register(uses)
    async with app:
        scheduled = await flows.schedule("a")
        asking = asyncio.create_task(flows.ask("a", Ask(), str))
        await asyncio.wait([asking])
        error = asking.exception()
        answer = asking.result() if error is None else type(error).__name__
        return await scheduled.completion(), answer, stored_effects(app, "a")


@pytest.mark.parametrize("second", ["answer", "refuse"])
@pytest.mark.parametrize("first", ["answer", "refuse"])
async def test_a_question_has_one_reply(apps: Apps, first: str, second: str) -> None:
    async def twice(asked: Question[Ask]) -> str:
        await getattr(asked, first)("first")
        try:
            await getattr(asked, second)("second")
        except UsageError as error:
            return str(error)
        return "accepted"

    returned, answer, effects = await answered_by(apps, twice)
    assert "reply already" in returned
    assert answer == ("first" if first == "answer" else "QuestionRefused")
    assert list(effects) == ["question:Ask", "question:Ask.reply"]


async def test_two_answers_at_the_same_time_are_one(apps: Apps) -> None:
    async def both(asked: Question[Ask]) -> str:
        first, second = asked.answer("first"), asked.answer("second")
        await first
        try:
            await second
        except UsageError:
            return "refused"
        return "accepted"

    returned, answer, _ = await answered_by(apps, both)
    assert (returned, answer) == ("refused", "first")


@pytest.mark.parametrize(
    ("wrong", "error"), [(asyncio.Lock, "NotSerializable"), ("x" * 5000, "PayloadTooLarge")]
)
async def test_after_an_answer_that_cannot_be_stored_another_one_can(
    apps: Apps, wrong: object, error: str
) -> None:
    async def tries(asked: Question[Ask]) -> str:
        try:
            await asked.answer(wrong)
        except UnbrokenError as raised:
            await asked.answer("right")
            return type(raised).__name__
        return "accepted"

    returned, answer, _ = await answered_by(apps, tries)
    assert (returned, answer) == (error, "right")


@pytest.mark.parametrize("reason", [None, 5, ValueError("x")])
async def test_a_reason_is_a_text(apps: Apps, reason: object) -> None:
    async def tries(asked: Question[Ask]) -> str:
        try:
            await loose(asked).refuse(reason)
        except TypeError:
            await asked.answer("right")
            return "refused"
        return "accepted"

    returned, answer, _ = await answered_by(apps, tries)
    assert (returned, answer) == ("refused", "right")


@pytest.mark.parametrize(
    ("reason", "error"), [("x" * 5000, PayloadTooLarge), ("\ud800", NotSerializable)]
)
async def test_a_reason_that_cannot_be_stored_is_refused(
    apps: Apps, reason: str, error: type[UnbrokenError]
) -> None:
    async def tries(asked: Question[Ask]) -> str:
        try:
            await asked.refuse(reason)
        except error:
            await asked.answer("right")
            return "refused"
        return "accepted"

    returned, answer, _ = await answered_by(apps, tries)
    assert (returned, answer) == ("refused", "right")


async def test_an_answer_from_within_a_body_is_refused(apps: Apps) -> None:
    async def tries(asked: Question[Ask]) -> str:
        async def body() -> str:
            try:
                await asked.answer("from within")
            except NotInFlow as error:
                return str(error)
            return "accepted"

        text = await capture("body", body)
        await asked.answer("right")
        return text

    returned, answer, _ = await answered_by(apps, tries)
    assert "captured body" in returned
    assert answer == "right"


async def test_an_answer_may_come_from_a_branch_and_from_a_task_of_its_own(apps: Apps) -> None:
    async def branches(asked: Question[Ask]) -> None:
        await gather(asked.answer("from a branch"))

    async def tasks(asked: Question[Ask]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asked.answer("from a task"))

    _, answer, _ = await answered_by(apps, branches)
    assert answer == "from a branch"
    apps.url = "sqlite://"
    _, answer, _ = await answered_by(apps, tasks)
    assert answer == "from a task"


@pytest.mark.filterwarnings("ignore:coroutine 'Question._store' was never awaited")
async def test_an_answer_that_nobody_awaited_fails_the_flow(apps: Apps) -> None:
    @flow
    async def forgets() -> None:
        asked = await question(Ask)
        asked.answer("yes")  # pyright: ignore[reportUnusedCoroutine]

    app = apps()
    flows = app.register(forgets)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", Ask())
        with pytest.raises(FlowFailed, match=r"question:Ask\.reply") as caught:
            await scheduled.completion()
        assert isinstance(caught.value.__cause__, ForgottenAwait)


async def test_a_question_belongs_to_its_run(apps: Apps, clock: VirtualClock) -> None:
    kept: list[Question[Ask]] = []

    @flow
    async def keeps() -> str:
        asked = await question(Ask)
        kept.append(asked)
        await question(int)
        try:
            await kept[0].answer("from a former run")
        except UsageError as error:
            await asked.answer("right")
            return str(error)
        return "accepted"

    app = apps(suspend_after=timedelta(0))
    flows = app.register(keeps)
    async with app:
        scheduled = await flows.schedule("a")
        asking = asyncio.create_task(flows.ask("a", Ask(), str))
        await clock.settle()
        await flows.send_message("a", 1)
        assert await asking == "right"
        assert "another run" in await scheduled.completion()
