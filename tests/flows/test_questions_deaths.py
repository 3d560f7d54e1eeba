"""Questions whose processes die and whose stores fail: one answer, and nobody misses it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import LEASE, Apps, loose, row, stored_effects
from tests.flows.dying import Dying, nth, writes
from unbroken import BatchRefused, QuestionRefused, Status, capture, flow, question
from unbroken.model.errors import OutcomeUnknown
from unbroken.stores.batch import Batch
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


Mortals = Callable[[Callable[[Batch], bool]], Dying]


@pytest.fixture
async def mortals(shared: Apps) -> AsyncIterator[Mortals]:
    """Make apps that die, and bury them at the end."""
    made: list[Dying] = []

    def make(is_last: Callable[[Batch], bool]) -> Dying:
        made.append(Dying(shared, is_last))
        return made[-1]

    yield make
    for dying in made:
        dying.bury()


# deaths


WRITES = 5


@pytest.mark.parametrize("number", range(1, WRITES + 1))
async def test_whoever_dies_after_whichever_write_the_question_has_one_answer(
    shared: Apps, mortals: Mortals, number: int
) -> None:
    async def use(flows: Any) -> None:
        await flows.schedule("a")
        await flows.ask("a", Ask(4), int, key="k")

    dying = mortals(nth(number))
    await dying.use(doubling, use)
    app = shared()
    flows = app.register(doubling)
    async with app:
        scheduled = await flows.schedule("a")
        asking = asyncio.create_task(flows.ask("a", Ask(4), int, key="k"))
        await shared.clock.advance(LEASE + SECOND)
        assert await asking == 8
        assert await scheduled.completion() == 8
        assert sorted(stored_effects(app, "a")) == ["double", "question:Ask", "question:Ask.reply"]


async def test_a_death_between_question_and_answer_is_not_felt_by_who_asks_elsewhere(
    shared: Apps, mortals: Mortals
) -> None:
    client = shared(execute=False)
    client_flows = client.register(doubling)
    dying = mortals(writes("double"))
    await client.start()
    await client_flows.schedule("a")
    asking = asyncio.create_task(client_flows.ask("a", Ask(4), int))
    while not asking.done() and not await _has_question(client):
        await asyncio.to_thread(int)

    async def nothing(_: Any) -> None: ...

    await dying.use(doubling, nothing)
    app = shared()
    app.register(doubling)
    async with app:
        await shared.clock.advance(LEASE + SECOND)
        assert await in_time(shared.clock, asking) == 8


async def _has_question(app: Any) -> bool:
    return (await row(app, "doubling", "a")).inbox > 0


async def test_a_death_after_a_refusal_by_validation_repeats_nothing(
    shared: Apps, mortals: Mortals
) -> None:
    async def use(flows: Any) -> None:
        await flows.schedule("a")
        await flows.ask("a", Ask(0), int, key="zero")

    dying = mortals(writes("question:Ask.refused.1"))
    await dying.use(doubling, use)
    app = shared()
    flows = app.register(doubling)
    async with app:
        with pytest.raises(QuestionRefused, match="zero"):
            await flows.ask("a", Ask(0), int, key="zero")
        asking = asyncio.create_task(flows.ask("a", Ask(4), int))
        await shared.clock.advance(LEASE + SECOND)
        assert await asking == 8
        assert await flows.completion("a") == 8


# a store in trouble


def fail_once(app: object, key: str, error: Exception, *, landed: bool) -> list[Exception]:
    """Let the first commit of an effect fail, before or after it landed."""
    store, is_it, errors = loose(app)._store, writes(key), [error]
    commit = store.commit

    async def failing(batch: Batch) -> object:
        if is_it(batch) and errors and not landed:
            raise errors.pop()
        receipt = await commit(batch)
        if is_it(batch) and errors:
            raise errors.pop()
        return receipt

    store.commit = failing
    return errors


@pytest.mark.parametrize("key", ["question:Ask", "question:Ask.reply", "question:Ask.refused.1"])
@pytest.mark.parametrize("landed", [True, False])
async def test_an_unknown_outcome_is_settled_and_nobody_notices(
    apps: Apps, key: str, *, landed: bool
) -> None:
    app = apps()
    flows = app.register(doubling)
    async with app:
        await flows.schedule("a")
        await apps.clock.settle()
        errors = fail_once(app, key, OutcomeUnknown("lost"), landed=landed)
        with pytest.raises(QuestionRefused):
            await flows.ask("a", Ask(0), int)
        assert await flows.ask("a", Ask(4), int) == 8
        assert errors == []


@pytest.mark.parametrize("landed", [True, False])
async def test_a_question_with_an_unknown_outcome_is_asked_once(
    apps: Apps, *, landed: bool
) -> None:
    app = apps()
    flows = app.register(doubling)
    errors = [OutcomeUnknown("lost")]
    async with app:
        scheduled = await flows.schedule("a")
        await apps.clock.settle()
        store = loose(app)._store
        commit = store.commit

        async def failing(batch: Batch) -> object:
            if batch.changes and errors and not landed:
                raise errors.pop()
            receipt = await commit(batch)
            if batch.changes and errors:
                raise errors.pop()
            return receipt

        store.commit = failing
        assert await flows.ask("a", Ask(4), int) == 8
        assert await scheduled.completion() == 8
        assert errors == []


async def test_an_answer_that_the_database_refuses_parks_the_flow(apps: Apps) -> None:
    app = apps()
    flows = app.register(doubling)
    async with app:
        await flows.schedule("a")
        await apps.clock.settle()
        errors = fail_once(app, "question:Ask.reply", BatchRefused("too long"), landed=False)
        await flows.send_message("a", Ask(4))
        await apps.clock.settle()
        assert errors == []
        assert (await row(app, "doubling", "a")).status is Status.PARKED
