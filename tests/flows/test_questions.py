"""Questions to a running flow: the durable answer, the refusal, and who gets them."""

import asyncio
from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, count_rows, row, stored_effects
from tests.flows.asking import (
    HOUR,
    MINUTE,
    Address,
    ChangeAddress,
    ChangeName,
    check_number,
    moving,
    refused_by,
)
from unbroken import (
    DeserializationError,
    Question,
    QuestionRefused,
    Status,
    current_flow,
    flow,
    gather,
    message,
    question,
    sleep,
)
from unbroken.testing import VirtualClock


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_a_question_gets_its_answer(apps: Apps, suspend_after: timedelta) -> None:
    app = apps(suspend_after=suspend_after)
    flows = app.register(moving)
    async with app:
        scheduled = await flows.schedule("a")
        await apps.clock.settle()
        answer = await flows.ask("a", ChangeAddress("Elm"), Address)
        assert answer == Address("Elm")
        assert await scheduled.completion() == ["Elm"]


async def test_a_question_asked_before_the_flow_wants_one_waits_for_it(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def later() -> None:
        await sleep(MINUTE)
        asked = await question(ChangeAddress)
        await asked.answer(asked.value.number)

    app = apps()
    flows = app.register(later)
    async with app:
        await flows.schedule("a")
        asking = asyncio.create_task(flows.ask("a", ChangeAddress("Elm", 7), int))
        await clock.settle()
        assert not asking.done()
        await clock.advance(MINUTE)
        assert await asking == 7


async def test_the_answer_is_there_although_the_flow_runs_on(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def goes_on() -> None:
        asked = await question(ChangeAddress)
        await asked.answer("noted")
        await sleep(HOUR)

    app = apps()
    flows = app.register(goes_on)
    async with app:
        await flows.schedule("a")
        assert await flows.ask("a", ChangeAddress("Elm"), str) == "noted"
        assert (await row(app, "goes_on", "a")).status is Status.LIVE


async def test_questions_are_answered_each_to_who_asked(apps: Apps) -> None:
    app = apps()
    flows = app.register(moving)
    async with app:
        scheduled = await flows.schedule("a", 5)
        streets = [f"street {n}" for n in range(5)]
        answers = await asyncio.gather(
            *(flows.ask("a", ChangeAddress(street), Address) for street in streets)
        )
        assert [answer.street for answer in answers] == streets
        assert await scheduled.completion() == streets


async def test_answers_may_come_in_another_order_and_from_another_branch(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def reverses() -> None:
        first = await question(ChangeAddress)
        second = await question(ChangeAddress)

        async def answers_late() -> None:
            await sleep(MINUTE)
            await first.answer("first")

        async def answers_soon() -> None:
            await second.answer("second")

        await gather(answers_late(), answers_soon())

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(reverses)
    async with app:
        await flows.schedule("a")
        first = asyncio.create_task(flows.ask("a", ChangeAddress("1"), str))
        await clock.settle()
        assert await flows.ask("a", ChangeAddress("2"), str) == "second"
        assert not first.done()
        await clock.advance(MINUTE)
        assert await first == "first"


async def test_a_question_tells_what_was_asked_and_under_which_key(apps: Apps) -> None:
    seen: list[tuple[ChangeAddress, str]] = []

    @flow
    async def looks() -> None:
        for _ in range(2):
            asked = await question(ChangeAddress)
            seen.append((asked.value, asked.key))
            await asked.answer("seen")

    app = apps()
    flows = app.register(looks)
    async with app:
        await flows.schedule("a")
        await flows.ask("a", ChangeAddress("Elm"), str, key="request 7")
        await flows.ask("a", ChangeAddress("Oak"), str)
    assert seen[0] == (ChangeAddress("Elm"), "request 7")
    assert len(seen[1][1]) >= 16


async def test_the_same_question_gets_the_same_answer(apps: Apps) -> None:
    app = apps()
    flows = app.register(moving)
    async with app:
        scheduled = await flows.schedule("a", 2)
        for _ in range(3):
            answer = await flows.ask("a", ChangeAddress("Elm"), Address, key="once")
            assert answer == Address("Elm")
        assert await flows.ask("a", ChangeAddress("Oak"), Address, key="twice") == Address("Oak")
        assert await scheduled.completion() == ["Elm", "Oak"]
        assert await flows.ask("a", ChangeAddress("Elm"), Address, key="once") == Address("Elm")
        assert count_rows(app, "messages") == 2


async def test_two_who_ask_with_one_key_get_one_answer(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def slow() -> int:
        asked = await question(ChangeAddress)
        await sleep(MINUTE)
        await asked.answer(7)
        return 1

    app = apps()
    flows = app.register(slow)
    async with app:
        await flows.schedule("a")
        asking = [
            asyncio.create_task(flows.ask("a", ChangeAddress("Elm"), int, key="k"))
            for _ in range(3)
        ]
        await clock.advance(MINUTE)
        assert await asyncio.gather(*asking) == [7, 7, 7]


@pytest.mark.parametrize("answer", [None, 7, "text", [1, 2], {"a": [Address("x")]}, Address("y")])
async def test_an_answer_comes_back_equal(apps: Apps, answer: object) -> None:
    @flow
    async def answers() -> None:
        asked = await question(ChangeAddress)
        await asked.answer(answer)

    app = apps()
    flows = app.register(answers)
    async with app:
        await flows.schedule("a")
        assert await flows.ask("a", ChangeAddress("Elm"), object) == answer


async def test_an_answer_of_another_class_is_an_error_and_stays(apps: Apps) -> None:
    app = apps()
    flows = app.register(moving)
    async with app:
        await flows.schedule("a")
        for _ in range(2):
            with pytest.raises(DeserializationError, match="Address"):
                await flows.ask("a", ChangeAddress("Elm"), ChangeName, key="k")
        assert await flows.ask("a", ChangeAddress("Elm"), Address, key="k") == Address("Elm")


# refused


async def test_a_refusal_says_why(apps: Apps) -> None:
    @flow
    async def refuses() -> None:
        asked = await question(ChangeAddress)
        await asked.refuse("too late")

    app = apps()
    flows = app.register(refuses)
    async with app:
        await flows.schedule("a")
        for _ in range(2):
            with pytest.raises(QuestionRefused, match="too late") as caught:
                await flows.ask("a", ChangeAddress("Elm"), Address, key="k")
            assert caught.value.reason == "too late"


@flow
async def checks() -> int:
    asked = await question(ChangeAddress, validate=check_number)
    await asked.answer("moved")
    return asked.value.number


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_a_question_that_does_not_pass_is_refused_and_the_wait_goes_on(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    app = apps(suspend_after=suspend_after)
    flows = app.register(checks)
    async with app:
        scheduled = await flows.schedule("a")
        for number in (0, -1):
            reason = await refused_by(flows.ask("a", ChangeAddress("Elm", number), str))
            assert reason == f"no house has the number {number}"
            await clock.settle()
        assert len(stored_effects(app, "a")) == 2
        assert await flows.ask("a", ChangeAddress("Elm", 3), str) == "moved"
        assert await scheduled.completion() == 3
        assert sorted(stored_effects(app, "a")) == [
            "question:ChangeAddress",
            "question:ChangeAddress.reply",
        ]


async def test_many_at_once_that_do_not_pass_are_all_refused(apps: Apps) -> None:
    app = apps()
    flows = app.register(checks)
    async with app:
        scheduled = await flows.schedule("a")
        asking = [refused_by(flows.ask("a", ChangeAddress("Elm", -n), str)) for n in range(9)]
        last = refused_by(flows.ask("a", ChangeAddress("Elm", 1), str))
        reasons = await asyncio.gather(*asking, last)
        assert reasons[:9] == [f"no house has the number {-n}" for n in range(9)]
        assert reasons[9] == "answered"
        assert await scheduled.completion() == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError(""), "ValueError"),
        (KeyError("street"), "'street'"),
        (ValueError("\ud800"), "?"),
        (ValueError("x" * 5000), "x" * 1000),
    ],
)
async def test_the_reason_of_a_validation_is_the_text_of_its_error(
    apps: Apps, error: Exception, reason: str
) -> None:
    def check(asked: ChangeAddress) -> None:
        raise error

    @flow
    async def never_passes() -> None:
        await question(ChangeAddress, validate=check)

    app = apps()
    flows = app.register(never_passes)
    async with app:
        await flows.schedule("a")
        assert await refused_by(flows.ask("a", ChangeAddress("Elm"), str)) == reason


# what lives on


async def test_questions_before_and_after_a_flow_continues_as_new(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def anew(turn: int) -> int:
        asked = await question(ChangeAddress)
        await asked.answer(turn)
        if turn < 3:
            await anew.continue_as_new(turn + 1)
        return turn

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(anew)
    async with app:
        scheduled = await flows.schedule("a", 1)
        asking = [
            asyncio.create_task(flows.ask("a", ChangeAddress("Elm"), int, key=str(n)))
            for n in range(3)
        ]
        assert sorted(await asyncio.gather(*asking)) == [1, 2, 3]
        assert await scheduled.completion() == 3


async def test_a_replay_answers_nothing_again(apps: Apps, clock: VirtualClock) -> None:
    seen: list[tuple[int, Question[ChangeAddress]]] = []

    @flow
    async def answers() -> None:
        asked = await question(ChangeAddress)
        seen.append((current_flow().incarnation, asked))
        await asked.answer(len(seen))
        await message(str)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(answers)
    async with app:
        scheduled = await flows.schedule("a")
        assert await flows.ask("a", ChangeAddress("Elm"), int, key="k") == 1
        await clock.settle()
        await flows.send_message("a", "end")
        await scheduled.completion()
        assert len(seen) == 2
        assert seen[0][1].value == seen[1][1].value
        assert seen[0][1].key == seen[1][1].key
        assert await flows.ask("a", ChangeAddress("Elm"), int, key="k") == 1


async def test_a_former_name_of_a_type_can_be_asked(shared: Apps) -> None:
    @flow(name="former")
    async def former() -> None:
        await (await question(ChangeAddress)).answer("former")
        await (await question(ChangeAddress)).answer("former")

    @flow(name="renamed", aliases=["former"])
    async def renamed() -> None:
        await (await question(ChangeAddress)).answer("renamed")
        await (await question(ChangeAddress)).answer("renamed")

    app = shared()
    flows = app.register(former)
    async with app:
        await flows.schedule("a")
        assert await flows.ask("a", ChangeAddress("Elm"), str, key="1") == "former"
    second = shared()
    new_flows = second.register(renamed)
    async with second:
        assert await new_flows.ask("a", ChangeAddress("Elm"), str, key="1") == "former"
        assert await new_flows.ask("a", ChangeAddress("Elm"), str, key="2") == "renamed"
