"""Registering flows: functions, classes with a factory, instances; one name for one flow."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, count_rows, loose
from unbroken import (
    DuplicateFlow,
    InvalidId,
    RegistrationError,
    capture,
    current_flow,
    flow,
    message,
    sleep,
)
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


@flow
async def double(n: int) -> int:
    return n * 2


class Bus:
    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, text: str) -> None:
        self.sent.append(text)


@flow(name="Orders")
class OrderFlow:
    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def run(self, order: str) -> str:
        await capture(self.bus.send, order)
        return f"{order} for {current_flow().type}"


async def test_the_same_flow_twice_is_one_registration(apps: Apps) -> None:
    app = apps()
    first, second = app.register(double), app.register(double)
    async with app:
        assert app.register(double).name == first.name == second.name == "double"
        assert await first.run("a", 1) == 2
        assert await second.run("a", 1) == 2
        assert count_rows(app, "flows") == 1


async def test_a_flow_registered_after_the_start_is_refused(apps: Apps) -> None:
    app = apps()
    async with app:
        with pytest.raises(RegistrationError, match="'double' is registered after the start"):
            app.register(double)


async def test_a_stopped_app_takes_registrations_again(apps: Apps) -> None:
    app = apps()
    async with app:
        pass
    doubles = app.register(double)
    async with app:
        assert await doubles.run("a", 1) == 2


def test_one_name_for_two_flows_is_refused_with_both_places(apps: Apps) -> None:
    @flow(name="double")
    async def other(n: int) -> int:
        return n

    app = apps()
    app.register(double)
    with pytest.raises(DuplicateFlow) as caught:
        app.register(other)
    assert "test_registering.double" in str(caught.value)
    assert "other" in str(caught.value)
    assert "@flow(name=…)" in str(caught.value)


def test_one_class_with_two_factories_or_instances_is_refused(apps: Apps) -> None:
    app = apps()
    app.register(OrderFlow, lambda: OrderFlow(Bus()))
    with pytest.raises(DuplicateFlow, match="with another factory or instance"):
        app.register(OrderFlow, lambda: OrderFlow(Bus()))
    with pytest.raises(DuplicateFlow, match="with another factory or instance"):
        app.register(OrderFlow(Bus()))


def test_an_alias_that_is_anothers_name_is_refused(apps: Apps) -> None:
    @flow(aliases=["double"])
    async def other(n: int) -> int:
        return n

    app = apps()
    app.register(double)
    with pytest.raises(DuplicateFlow):
        app.register(other)


async def test_a_class_flow_comes_from_its_factory_once_an_incarnation(
    apps: Apps, clock: VirtualClock
) -> None:
    made: list[int] = []

    @flow
    class Waiting:
        def __init__(self, number: int) -> None:
            self.number = number

        async def run(self) -> str:
            return f"{await message(str)} {self.number}"

    def factory() -> Waiting:
        made.append(len(made) + 1)
        return Waiting(made[-1])

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(Waiting, factory)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.send_message("a", "number")
        assert await flows.completion("a") == "number 2"
    assert made == [1, 2]


async def test_a_factory_may_give_an_async_context_manager(apps: Apps, clock: VirtualClock) -> None:
    said: list[str] = []

    @flow
    class Waiting:
        async def run(self) -> str:
            said.append("run")
            return await message(str)

    @asynccontextmanager
    async def scope() -> AsyncIterator[Waiting]:
        said.append("open")
        try:
            yield Waiting()
        finally:
            said.append("close")

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(Waiting, scope)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        assert said == ["open", "run", "close"]
        await flows.send_message("a", "done")
        assert await flows.completion("a") == "done"
    assert said == ["open", "run", "close"] * 2


async def test_an_instance_serves_every_incarnation(apps: Apps) -> None:
    bus, app = Bus(), apps()
    flows = app.register(OrderFlow(bus))
    async with app:
        assert await flows.run("a", "book") == "book for Orders"
        assert await flows.run("b", "pen") == "pen for Orders"
    assert bus.sent == ["book", "pen"]


async def test_a_class_without_arguments_needs_no_factory(apps: Apps) -> None:
    @flow
    class Hello:
        async def run(self, name: str = "world") -> str:
            return f"hello {name}"

    app = apps()
    flows = app.register(Hello)
    async with app:
        assert await flows.run("a") == "hello world"


async def test_a_renamed_flow_goes_on_under_its_alias(shared: Apps) -> None:
    ended: list[str] = []

    @flow(name="old_name")
    async def before() -> None:
        await sleep(HOUR)

    @flow(name="new_name", aliases=["old_name"])
    async def after() -> None:
        await sleep(HOUR)
        ended.append(current_flow().id)

    app = shared()
    flows = app.register(before)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
    app = shared()
    app.register(after)
    async with app:
        await shared.clock.advance(HOUR)
    assert ended == ["a"]


def plain(n: int) -> int:
    return n


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


class NoRun:
    pass


class SyncRun:
    def run(self) -> None: ...


@pytest.mark.parametrize(
    ("definition", "advice"),
    [
        (plain, "write `async def`"),
        (generator, "it does not yield"),
        (async_generator, "it does not yield"),
        (lambda: None, "a lambda has no name"),
        (NoRun, "a flow class needs `async def run`"),
        (SyncRun, "write `async def`"),
        ("double", "is no function"),
        (double, "decorated twice"),
    ],
    ids=["def", "generator", "async generator", "lambda", "no run", "def run", "text", "twice"],
)
def test_what_cannot_be_a_flow_is_refused_where_it_is_declared(
    definition: Any, advice: str
) -> None:
    with pytest.raises(RegistrationError, match=advice):
        flow(definition)


@pytest.mark.parametrize("name", ["", "a.b", "a#b", "a/b", "x" * 256, "nul\0"])
def test_a_flow_name_that_no_store_may_hold_is_refused(name: str) -> None:
    with pytest.raises(InvalidId, match="name of a flow"):

        @flow(name=name)
        async def named() -> None: ...


def test_what_was_not_declared_a_flow_is_refused(apps: Apps) -> None:
    async def undeclared() -> None: ...

    app = apps()
    for one in (undeclared, NoRun, NoRun(), 7):
        with pytest.raises(RegistrationError, match="decorate the function or class with @flow"):
            loose(app).register(one)


def test_a_subclass_of_a_flow_class_is_a_flow_only_if_it_says_so(apps: Apps) -> None:
    class Special(OrderFlow):
        pass

    with pytest.raises(RegistrationError, match="@flow"):
        apps().register(Special)


def test_a_factory_goes_with_a_class_only(apps: Apps) -> None:
    with pytest.raises(RegistrationError, match="a factory goes with a class"):
        loose(apps()).register(double, lambda: double)


def test_an_annotation_that_names_nothing_is_refused(apps: Apps) -> None:
    async def unresolved(n: object) -> None: ...

    unresolved.__annotations__["n"] = "Nowhere"
    with pytest.raises(RegistrationError, match="'Nowhere' cannot be resolved"):
        apps().register(flow(unresolved))


def test_aliases_are_a_list() -> None:
    with pytest.raises(RegistrationError, match="give a list of names"):
        flow(aliases="old")(double.definition.function)


async def test_a_flow_redefined_before_the_start_replaces_the_former(apps: Apps) -> None:
    def define(answer: int) -> Any:
        @flow
        async def cell() -> int:
            return answer

        return cell

    app = apps()
    app.register(define(1))
    flows = app.register(define(2))
    async with app:
        assert await flows.run("a") == 2


async def test_a_flow_redefined_after_the_start_needs_a_restart(apps: Apps) -> None:
    def define(answer: int) -> Any:
        @flow
        async def cell() -> int:
            return answer

        return cell

    app = apps()
    app.register(define(1))
    async with app:
        with pytest.raises(RegistrationError, match="restart the app"):
            app.register(define(2))
