"""Questions across processes, cuts and races: nobody misses the answer, wherever it is given."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, loose
from tests.flows.asking import Held
from tests.flows.dying import writes
from unbroken import (
    FlowEnded,
    QuestionRefused,
    capture,
    flow,
    gather,
    message,
    question,
    race,
    sleep,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
NEVER = timedelta(days=10_000)


@dataclass
class Ask:
    number: int = 1


def no_zero(asked: Ask) -> None:
    if asked.number == 0:
        raise ValueError("zero")


async def double(number: int) -> int:
    return 2 * number


@flow
async def doubling() -> int:
    asked = await question(Ask, validate=no_zero)
    doubled = await capture("double", double, asked.value.number)
    await asked.answer(doubled)
    return doubled


async def in_time(clock: VirtualClock, asking: asyncio.Task[Any]) -> Any:
    """Let time pass until a question has its answer."""
    while not asking.done():
        await clock.advance(SECOND)
    return await asking


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_another_app_gets_the_answer(shared: Apps, suspend_after: timedelta) -> None:
    app = shared(lease=NEVER, suspend_after=suspend_after)
    client = shared(execute=False, lease=NEVER)
    flows, client_flows = app.register(doubling), client.register(doubling)
    async with app, client:
        await flows.schedule("a")
        await shared.clock.settle()
        asking = asyncio.create_task(client_flows.ask("a", Ask(4), int, key="k"))
        assert await in_time(shared.clock, asking) == 8
        assert await client_flows.ask("a", Ask(4), int, key="k") == 8


async def test_an_answer_is_heard_within_a_blink_of_its_commit(shared: Apps) -> None:
    app, client = shared(lease=NEVER), shared(execute=False, lease=NEVER)
    flows, client_flows = app.register(doubling), client.register(doubling)
    async with app, client:
        await flows.schedule("a")
        await shared.clock.settle()
        asking = asyncio.create_task(client_flows.ask("a", Ask(4), int))
        blink = timedelta(milliseconds=100)
        for _ in range(10):  # far less than the five seconds after which everybody looks
            await shared.clock.advance(blink)
        assert asking.done()
        assert await asking == 8


async def test_another_app_hears_of_a_refusal_and_of_the_end(shared: Apps) -> None:
    @flow
    async def ends() -> None:
        asked = await question(Ask)
        await asked.refuse("no")
        await question(Ask)

    app, client = shared(lease=NEVER), shared(execute=False, lease=NEVER)
    flows, client_flows = app.register(ends), client.register(ends)
    async with app, client:
        await flows.schedule("a")
        await shared.clock.settle()
        refused = asyncio.create_task(client_flows.ask("a", Ask(), int))
        with pytest.raises(QuestionRefused, match="no"):
            await in_time(shared.clock, refused)
        ended = asyncio.create_task(client_flows.ask("a", Ask(), int))
        with pytest.raises(FlowEnded):
            await in_time(shared.clock, ended)


async def test_two_apps_ask_with_one_key_and_get_one_answer(shared: Apps) -> None:
    answers: list[int] = []

    @flow
    async def counts() -> None:
        for _ in range(2):
            asked = await question(Ask)
            await sleep(SECOND)
            answers.append(1)
            await asked.answer(len(answers))

    apps = [shared(lease=NEVER), shared(lease=NEVER), shared(execute=False, lease=NEVER)]
    handles = [app.register(counts) for app in apps]
    async with apps[0], apps[1], apps[2]:
        await handles[0].schedule("a")
        await shared.clock.settle()
        asking = [asyncio.create_task(one.ask("a", Ask(), int, key="k")) for one in handles]
        assert [await in_time(shared.clock, one) for one in asking] == [1, 1, 1]
        assert len(answers) == 1


async def test_an_answer_that_came_before_the_asker_could_listen_is_looked_for(
    shared: Apps,
) -> None:
    app, clock = shared(lease=NEVER), VirtualClock()
    client = shared(clock=clock, execute=False, lease=NEVER)
    flows, client_flows = app.register(doubling), client.register(doubling)
    async with app, client:
        scheduled = await flows.schedule("a")
        await shared.clock.settle()
        held = Held(client, lambda batch: bool(batch.changes))
        asking = asyncio.create_task(client_flows.ask("a", Ask(4), int))
        await held.reached()
        await shared.clock.advance(10 * SECOND)
        assert await scheduled.completion() == 8
        held.let_go()
        await clock.settle()
        assert asking.done()
        assert await asking == 8


# cut, and lost in a race


async def all_that_can_run() -> None:
    """Let the flow come to where it waits for the store."""
    for _ in range(20):
        await asyncio.sleep(0)


class Stop(Exception):
    """What ends one branch, and with it the others."""


async def stop_once(held: Held) -> None:
    """Fail while a write is under way, and again on every replay."""
    await held.reached()
    raise Stop


async def test_a_wait_that_was_cut_while_it_refused_takes_nothing_on_a_replay(
    apps: Apps, clock: VirtualClock
) -> None:
    holding: list[Held] = []

    @flow
    async def cuts() -> int:
        try:
            await gather(question(Ask, validate=no_zero), stop_once(holding[0]))
        except Stop:
            await message(str)
        asked = await question(Ask)
        await asked.answer(asked.value.number)
        return asked.value.number

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(cuts)
    async with app:
        holding.append(Held(app, writes("question:Ask.refused.1")))
        scheduled = await flows.schedule("a")
        asking = asyncio.create_task(flows.ask("a", Ask(0), int))
        await holding[0].reached()
        await all_that_can_run()
        holding[0].let_go()
        with pytest.raises(QuestionRefused):
            await asking
        await clock.settle()
        second = asyncio.create_task(flows.ask("a", Ask(5), int))
        await clock.settle()
        await flows.send_message("a", "go on")
        assert await second == 5
        assert await scheduled.completion() == 5


async def test_an_answer_that_was_cut_under_way_is_still_heard(
    apps: Apps, clock: VirtualClock
) -> None:
    holding: list[Held] = []

    @flow
    async def cuts() -> str:
        asked = await question(Ask)
        try:
            await gather(asked.answer("stored"), stop_once(holding[0]))
        except Stop:
            return "cut"
        return "done"

    app = apps()
    flows = app.register(cuts)
    async with app:
        scheduled = await flows.schedule("a")
        await clock.settle()
        blind = loose(app)._store
        poll = blind.poll

        async def sees_no_answers(replica: str, types: Any, awaited: Any, _: Any) -> object:
            return await poll(replica, types, awaited, ())

        blind.poll = sees_no_answers
        holding.append(Held(app, writes("question:Ask.reply")))
        asking = asyncio.create_task(flows.ask("a", Ask(), str))
        await holding[0].reached()
        await all_that_can_run()
        holding[0].let_go()
        assert await asking == "stored"
        assert await scheduled.completion() == "cut"


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_a_question_that_the_loser_of_a_race_took_goes_to_the_next_wait(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    @flow
    async def races() -> str:
        async def takes_and_stands() -> None:
            await question(Ask)
            await sleep(HOUR)

        async def ends() -> str:
            return await message(str)

        await race(takes_and_stands(), ends())
        asked = await question(Ask)
        await asked.answer(asked.value.number)
        return "done"

    app = apps(suspend_after=suspend_after)
    flows = app.register(races)
    async with app:
        scheduled = await flows.schedule("a")
        asking = asyncio.create_task(flows.ask("a", Ask(5), int))
        await clock.settle()
        await flows.send_message("a", "end it")
        assert await asking == 5
        assert await scheduled.completion() == "done"


@pytest.mark.parametrize("suspend_after", [AT_ONCE, HOUR])
async def test_what_the_loser_of_a_race_has_answered_is_not_asked_again(
    apps: Apps, clock: VirtualClock, suspend_after: timedelta
) -> None:
    @flow
    async def races() -> str:
        async def answers_and_stands() -> None:
            asked = await question(Ask, validate=no_zero)
            await asked.answer("by the loser")
            await question(Ask)
            await sleep(HOUR)

        async def ends() -> str:
            return await message(str)

        await race(answers_and_stands(), ends())
        asked = await question(Ask)
        await asked.answer("after the race")
        return "done"

    app = apps(suspend_after=suspend_after)
    flows = app.register(races)
    async with app:
        scheduled = await flows.schedule("a")
        with pytest.raises(QuestionRefused):
            await flows.ask("a", Ask(0), str, key="refused")
        assert await flows.ask("a", Ask(5), str, key="k") == "by the loser"
        await clock.settle()
        await flows.send_message("a", "end it")
        await clock.settle()
        assert await flows.ask("a", Ask(5), str, key="k") == "by the loser"
        assert await flows.ask("a", Ask(6), str, key="other") == "after the race"
        with pytest.raises(QuestionRefused):
            await flows.ask("a", Ask(0), str, key="refused")
        assert await scheduled.completion() == "done"
