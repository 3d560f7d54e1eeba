"""Published state: what the outside sees of a flow, of which class, and what is refused."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TypedDict
from uuid import UUID

import pytest

from tests.flows.apps import AT_ONCE, Apps, count_rows, loose, row
from unbroken import (
    BatchRefused,
    DeserializationError,
    FlowCancelled,
    FlowFailed,
    NotInFlow,
    NotSerializable,
    PayloadTooLarge,
    Status,
    UnbrokenError,
    capture,
    current_flow,
    flow,
    message,
)
from unbroken.model.errors import OutcomeUnknown
from unbroken.stores.batch import Batch

SECOND = timedelta(seconds=1)
NEVER = timedelta(days=10_000)


class Phase(Enum):
    NEW = "new"
    SHIPPED = "shipped"


@dataclass
class OrderState:
    phase: Phase
    items: list[str]


@dataclass
class OtherState:
    level: int


class Counts(TypedDict):
    a: int


@flow
async def ordering(items: list[str]) -> int:
    await current_flow().publish(OrderState(Phase.NEW, items))
    await message(str)
    await current_flow().publish(OrderState(Phase.SHIPPED, items))
    return len(items)


async def test_the_state_of_a_waiting_flow_is_seen(apps: Apps) -> None:
    app = apps()
    flows = app.register(ordering)
    async with app:
        await flows.schedule("a", ["book"])
        await apps.clock.settle()
        assert await flows.state("a", OrderState) == OrderState(Phase.NEW, ["book"])


async def test_the_last_state_stays_after_the_flow_has_ended(apps: Apps) -> None:
    app = apps(suspend_after=AT_ONCE)
    flows = app.register(ordering)
    async with app:
        scheduled = await flows.schedule("a", ["book"])
        await apps.clock.settle()
        await flows.send_message("a", "go on")
        assert await scheduled.completion() == 1
        assert await flows.state("a", OrderState) == OrderState(Phase.SHIPPED, ["book"])


async def test_there_is_no_state_of_an_absent_flow_or_before_it_published_one(apps: Apps) -> None:
    @flow
    async def silent() -> None:
        await message(str)

    app = apps()
    flows = app.register(silent)
    async with app:
        await flows.schedule("a")
        assert await flows.state("a", OrderState) is None
        assert await flows.state("b", OrderState) is None


async def test_a_state_is_stored_once_publish_returns(apps: Apps) -> None:
    rows: list[int] = []

    @flow
    async def looks() -> None:
        await current_flow().publish(1)
        rows.append(count_rows(app, "states"))

    app = apps()
    flows = app.register(looks)
    async with app:
        await flows.run("a")
    assert rows == [1]


async def test_a_state_is_no_effect_and_needs_no_name(apps: Apps) -> None:
    @flow
    async def counts() -> None:
        for number in range(5):
            await current_flow().publish(number)

    app = apps()
    flows = app.register(counts)
    async with app:
        await flows.run("a")
        assert (count_rows(app, "effects"), count_rows(app, "states")) == (0, 1)
        assert await flows.state("a", int) == 4


@pytest.mark.parametrize(
    ("state", "cls"),
    [
        ("text", str),
        (7, int),
        (["a", "b"], list[str]),
        ({"a": 1}, dict[str, int]),
        ({"a": 1}, Counts),
        (UUID(int=3), UUID),
        (Phase.SHIPPED, Phase),
        ([OtherState(1)], list[OtherState]),
        (OtherState(2), OtherState),
        (OtherState(2), object),
    ],
)
async def test_a_state_comes_back_equal_and_of_its_class(
    apps: Apps, state: object, cls: type[object]
) -> None:
    @flow
    async def shows() -> None:
        await current_flow().publish(state)

    app = apps()
    flows = app.register(shows)
    async with app:
        await flows.run("a")
        found = await flows.state("a", cls)
        assert found == state
        assert type(found) is type(state)


@pytest.mark.parametrize("cls", [OtherState, str, list[str], Phase, Counts])
async def test_a_state_of_another_class_is_an_error_that_names_both(
    apps: Apps, cls: type[object]
) -> None:
    app = apps()
    flows = app.register(ordering)
    async with app:
        await flows.schedule("a", ["book"])
        await apps.clock.settle()
        with pytest.raises(DeserializationError, match="OrderState"):
            await flows.state("a", cls)


async def test_a_plain_value_of_another_class_is_an_error_too(apps: Apps) -> None:
    @flow
    async def shows() -> None:
        await current_flow().publish("text")

    app = apps()
    flows = app.register(shows)
    async with app:
        await flows.run("a")
        for cls in (int, OtherState, list[str]):
            with pytest.raises(DeserializationError):
                await flows.state("a", cls)


async def test_what_is_no_class_is_refused(apps: Apps) -> None:
    app = apps()
    flows = loose(app.register(ordering))
    async with app:
        for wrong in ("OrderState", OtherState(1), None, OrderState | None):
            with pytest.raises(TypeError, match="takes the class"):
                await flows.state("a", wrong)


async def test_another_app_sees_the_state_and_executes_nothing(shared: Apps) -> None:
    app, client = shared(lease=NEVER), shared(execute=False, lease=NEVER)
    flows, client_flows = app.register(ordering), client.register(ordering)
    async with app, client:
        await flows.schedule("a", ["book"])
        await shared.clock.settle()
        assert await client_flows.state("a", OrderState) == OrderState(Phase.NEW, ["book"])


async def test_a_flow_that_failed_keeps_its_state(apps: Apps) -> None:
    @flow
    async def fails() -> None:
        await current_flow().publish("about to fail")
        raise LookupError

    app = apps()
    flows = app.register(fails)
    async with app:
        with pytest.raises(FlowFailed):
            await flows.run("a")
        assert await flows.state("a", str) == "about to fail"


async def test_a_cancelled_flow_may_publish_while_it_compensates(apps: Apps) -> None:
    @flow
    async def compensates() -> None:
        try:
            await message(str)
        except FlowCancelled:
            await current_flow().publish("undone")
            raise

    app = apps()
    flows = app.register(compensates)
    async with app:
        scheduled = await flows.schedule("a")
        await apps.clock.settle()
        await flows.cancel("a")
        with pytest.raises(FlowCancelled):
            await scheduled.completion()
        assert await flows.state("a", str) == "undone"


async def test_a_flow_stored_under_a_former_name_shows_its_state(shared: Apps) -> None:
    @flow(name="former")
    async def former() -> None:
        await current_flow().publish("seen")
        await message(str)

    @flow(name="renamed", aliases=["former"])
    async def renamed() -> None:
        await message(str)

    app = shared(lease=NEVER)
    flows = app.register(former)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
    client = shared(execute=False, lease=NEVER)
    client_flows = client.register(renamed)
    async with client:
        assert await client_flows.state("a", str) == "seen"


# refused


class Unstorable:
    def __init__(self) -> None:
        self.own = asyncio.Lock()


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (None, NotSerializable),
        (Unstorable(), NotSerializable),
        (lambda: 1, NotSerializable),
        ("x" * 2000, PayloadTooLarge),
    ],
)
async def test_what_cannot_be_a_state_is_refused_and_the_former_stays(
    apps: Apps, state: object, error: type[UnbrokenError]
) -> None:
    @flow
    async def tries() -> str:
        await current_flow().publish("former")
        try:
            await current_flow().publish(state)
        except UnbrokenError as raised:
            return type(raised).__name__
        return "accepted"

    app = apps(payload_limit=1024)
    flows = app.register(tries)
    async with app:
        assert await flows.run("a") == error.__name__
        assert await flows.state("a", str) == "former"


async def test_a_captured_body_publishes_nothing(apps: Apps) -> None:
    @flow
    async def tries() -> str:
        async def body() -> str:
            try:
                await current_flow().publish("from within")
            except NotInFlow as error:
                return str(error)
            return "published"

        return await capture("body", body)

    app = apps()
    flows = app.register(tries)
    async with app:
        assert "captured body" in await flows.run("a")
        assert await flows.state("a", str) is None


# a store in trouble


def fail_once(app: object, error: Exception, *, landed: bool) -> list[Exception]:
    """Let the first commit of a state fail, before or after it landed."""
    store = loose(app)._store
    commit, errors = store.commit, [error]

    async def failing(batch: Batch) -> object:
        if batch.states and errors and not landed:
            raise errors.pop()
        receipt = await commit(batch)
        if batch.states and errors:
            raise errors.pop()
        return receipt

    store.commit = failing
    return errors


@pytest.mark.parametrize("landed", [True, False])
async def test_an_unknown_outcome_of_a_publish_is_settled(apps: Apps, *, landed: bool) -> None:
    app = apps()
    flows = app.register(ordering)
    async with app:
        await apps.clock.settle()
        errors = fail_once(app, OutcomeUnknown("lost"), landed=landed)
        await flows.schedule("a", ["book"])
        await apps.clock.settle()
        assert errors == []
        assert await flows.state("a", OrderState) == OrderState(Phase.NEW, ["book"])


async def test_a_state_that_the_database_refuses_parks_the_flow(apps: Apps) -> None:
    app = apps()
    flows = app.register(ordering)
    async with app:
        await apps.clock.settle()
        errors = fail_once(app, BatchRefused("too long"), landed=False)
        await flows.schedule("a", ["book"])
        await apps.clock.settle()
        assert errors == []
        assert (await row(app, "ordering", "a")).status is Status.PARKED
        assert await flows.state("a", OrderState) is None
