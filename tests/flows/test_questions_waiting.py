"""A question is a message too: which one a wait takes, and how long it waits."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, stored_effects, stored_messages
from tests.flows.asking import (
    HOUR,
    MINUTE,
    SECOND,
    Address,
    ChangeAddress,
    ChangeName,
    check_number,
    moving,
    refused_by,
)
from unbroken import FlowEnded, flow, message, question
from unbroken.testing import VirtualClock

# like a message


async def test_where_leaves_other_questions_to_later_waits(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def picks() -> list[int]:
        second = await question(ChangeAddress, where=lambda asked: asked.number == 2)
        first = await question(ChangeAddress)
        await first.answer(1)
        await second.answer(2)
        return [first.value.number, second.value.number]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(picks)
    async with app:
        scheduled = await flows.schedule("a")
        asking = [asyncio.create_task(flows.ask("a", ChangeAddress("Elm", n), int)) for n in (1, 2)]
        assert await asyncio.gather(*asking) == [1, 2]
        assert await scheduled.completion() == [1, 2]


async def test_a_wait_takes_the_first_question_of_several_types(apps: Apps) -> None:
    @flow
    async def either() -> None:
        for _ in range(2):
            asked = await question(ChangeAddress, ChangeName)
            match asked.value:
                case ChangeAddress():
                    await asked.answer("address")
                case ChangeName():
                    await asked.answer("name")

    app = apps()
    flows = app.register(either)
    async with app:
        await flows.schedule("a")
        assert await flows.ask("a", ChangeName("Ann"), str) == "name"
        assert await flows.ask("a", ChangeAddress("Elm"), str) == "address"


async def test_a_question_of_another_type_is_left_in_the_inbox(
    apps: Apps, clock: VirtualClock
) -> None:
    app = apps()
    flows = app.register(moving)
    async with app:
        await flows.schedule("a")
        asking = asyncio.create_task(flows.ask("a", ChangeName("Ann"), str))
        await clock.settle()
        assert not asking.done()
        assert len(stored_messages(app, "a")) == 1
        await flows.ask("a", ChangeAddress("Elm"), Address)
        with pytest.raises(FlowEnded):
            await asking


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
@pytest.mark.parametrize("validate", [None, check_number])
async def test_a_wait_for_a_question_ends_with_its_time(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta, validate: Any
) -> None:
    @flow
    async def waits() -> str:
        asked = await question(ChangeAddress, timeout=MINUTE, validate=validate)
        return "nobody asked" if asked is None else "asked"

    app = apps(suspend_after=suspend_after)
    flows = app.register(waits)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.advance(MINUTE - SECOND)
        if validate is not None:
            await refused_by(flows.ask("a", ChangeAddress("Elm", 0), str))
        await clock.advance(SECOND)
        assert await scheduled.completion() == "nobody asked"
        assert list(stored_effects(app, "a")) == ["question:ChangeAddress"]


async def test_a_plain_message_wait_takes_a_question_and_nobody_answers_it(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def ignores() -> str:
        taken = await message(ChangeAddress)
        await message(str)
        return taken.street

    app = apps()
    flows = app.register(ignores)
    async with app:
        scheduled = await flows.schedule("a")
        asking = asyncio.create_task(flows.ask("a", ChangeAddress("Elm"), Address))
        await clock.settle()
        assert not asking.done()
        await flows.send_message("a", "end")
        with pytest.raises(FlowEnded, match="'a' ended and did not answer"):
            await asking
        assert await scheduled.completion() == "Elm"


async def test_a_message_that_was_sent_can_be_answered_and_asked_for_later(apps: Apps) -> None:
    app = apps()
    flows = app.register(moving)
    async with app:
        scheduled = await flows.schedule("a")
        await flows.send_message("a", ChangeAddress("Elm"), key="k")
        await scheduled.completion()
        assert await flows.ask("a", ChangeAddress("Elm"), Address, key="k") == Address("Elm")
