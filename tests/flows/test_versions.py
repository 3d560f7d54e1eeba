"""Several versions of the code on one store: who runs what, and what older data means."""

import warnings
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, events_of, names_of, row
from unbroken import (
    FlowParked,
    ParamIgnored,
    RegistrationError,
    Unbroken,
    capture,
    current_flow,
    flow,
    message,
    sleep,
)

HOUR = timedelta(hours=1)


async def start_and_stop(shared: Apps, definition: Any, *args: object) -> None:
    app = shared()
    flows = app.register(definition)
    async with app:
        await flows.schedule("1", *args)
        await shared.clock.settle()


# the version of the code


async def tell_version() -> list[int]:
    before = current_flow().version
    await message(str)
    return [before, current_flow().version]


async def test_a_flow_keeps_the_version_under_which_it_was_started(shared: Apps) -> None:
    old = flow(name="versioned", version=1)(tell_version)
    new = flow(name="versioned", version=2)(tell_version)
    await start_and_stop(shared, old)
    app = shared()
    flows = app.register(new)
    async with app:
        await flows.schedule("2")
        for id, version in (("1", 1), ("2", 2)):
            await flows.send_message(id, "go")
            assert await flows.completion(id) == [version, version]


async def test_every_way_to_start_a_flow_keeps_the_version(apps: Apps) -> None:
    @flow(name="versioned", version=7)
    async def versioned() -> int:
        return current_flow().version

    @flow
    async def parent() -> tuple[int, int]:
        return await versioned.run("child"), await versions.options(detached=True).run("detached")

    app = apps()
    versions, parents = app.register(versioned), app.register(parent)
    async with app:
        assert await parents.run("parent") == (7, 7)
        assert await versions.run("run") == 7
        assert await (await versions.schedule_in("later", timedelta(0))).completion() == 7
        await versions.bulk_schedule([versions.prepare("bulk")])
        assert await versions.completion("bulk") == 7
        await versions.send_message("sent", "go", start=versions.prepare("sent"))
        assert await versions.completion("sent") == 7
        assert (await row(app, "versioned", "bulk")).code == 7


async def test_a_flow_that_continues_as_new_takes_the_newest_version(shared: Apps) -> None:
    def version(number: int) -> Any:
        @flow(name="versioned", version=number)
        async def versioned(seen: list[int]) -> list[int]:
            seen = [*seen, current_flow().version]
            if len(seen) < 2:
                await message(str)
                await versioned.continue_as_new(seen)
            return seen

        return versioned

    await start_and_stop(shared, version(1), [])
    app = shared()
    flows = app.register(version(2))
    async with app:
        await flows.send_message("1", "go")
        assert await flows.completion("1") == [1, 2]


async def test_a_version_may_choose_the_way(shared: Apps) -> None:
    def code(number: int) -> Any:
        @flow(name="versioned", version=number)
        async def versioned() -> str:
            if current_flow().version < 2:
                way = await capture("way", lambda: "as ever")
            else:
                way = await capture("new way", lambda: "as of late")
            await message(str)
            return way

        return versioned

    await start_and_stop(shared, code(1))
    app = shared()
    flows = app.register(code(2))
    async with app:
        await flows.schedule("2")
        for id in "12":
            await flows.send_message(id, "go")
        assert await flows.completion("1") == "as ever"
        assert await flows.completion("2") == "as of late"


# replicas that know different flows


async def test_each_process_runs_only_the_flows_that_it_knows(shared: Apps) -> None:
    ran: list[str] = []

    @flow
    async def orders() -> str:
        ran.append(await message(str))
        return "order"

    @flow
    async def invoices() -> str:
        ran.append(await message(str))
        return "invoice"

    shop, office = shared(suspend_after=AT_ONCE), shared(suspend_after=AT_ONCE)
    of_shop, of_office = shop.register(orders), office.register(invoices)
    async with shop, office:
        await of_shop.schedule("1")
        await of_office.schedule("1")
        await shared.clock.settle()
        await office.stop(AT_ONCE)
        await of_shop.send_message("1", "to the shop")
        await shared.clock.advance(HOUR)
        assert (await row(shop, "invoices", "1")).owner is None
        assert await of_shop.completion("1") == "order"
        assert ran == ["to the shop"]
        await office.start()
        await of_office.send_message("1", "to the office")
        assert await of_office.completion("1") == "invoice"


async def test_a_new_version_and_an_old_one_run_side_by_side(shared: Apps) -> None:
    @flow
    async def first() -> str:
        await sleep(HOUR)
        return "first"

    @flow
    async def second() -> str:
        await sleep(HOUR)
        return "second"

    old, new = shared(suspend_after=AT_ONCE), shared(suspend_after=AT_ONCE)
    of_old = old.register(first)
    of_new = (new.register(first), new.register(second))
    async with old, new:
        await of_old.schedule("1")
        await of_new[1].schedule("1")
        await shared.clock.advance(HOUR)
        assert await of_old.completion("1") == "first"
        assert await of_new[0].completion("1") == "first"
        assert await of_new[1].completion("1") == "second"


# data of older code


@dataclass
class LineBefore:
    product: str
    weight: int


@dataclass
class OrderBefore:
    id: int
    note: str
    lines: list[LineBefore]


@dataclass
class LineAfter:
    product: str
    amount: int = 1


@dataclass
class OrderAfter:
    id: int
    lines: list[LineAfter]
    tags: list[str] = field(default_factory=list[str])


WRITTEN = OrderBefore(7, "quick", [LineBefore("tea", 100)])
READ = OrderAfter(7, [LineAfter("tea", 1)], [])


async def test_arguments_and_results_of_older_classes_are_read(shared: Apps) -> None:
    def load_before() -> OrderBefore:
        return WRITTEN

    def load_after() -> OrderAfter:
        raise AssertionError("it is recorded")

    @flow(name="evolving")
    async def before(order: OrderBefore) -> None:
        await capture("load", load_before)
        await message(str)

    @flow(name="evolving")
    async def after(order: OrderAfter, color: str = "red") -> tuple[OrderAfter, OrderAfter, str]:
        loaded = await capture("load", load_after)
        await message(str)
        return order, loaded, color

    await start_and_stop(shared, before, WRITTEN)
    app = shared()
    flows = app.register(after)
    async with app:
        await flows.send_message("1", "go")
        assert await flows.completion("1") == (READ, READ, "red")


def version_of_paid(*, is_new: bool) -> type[Any]:
    """Make a message class of one name, in two versions."""
    if is_new:

        @dataclass
        class New:
            id: int
            by: str = "card"

        made: type[Any] = New
    else:

        @dataclass
        class Old:
            id: int
            note: str

        made = Old
    made.__name__ = made.__qualname__ = "Paid"
    return made


async def test_a_message_of_an_older_class_is_read(shared: Apps) -> None:
    def version(paid: type[Any]) -> Any:
        @flow(name="evolving")
        async def evolving() -> Any:
            await message(str)
            return await message(paid)

        return evolving

    old, new = version_of_paid(is_new=False), version_of_paid(is_new=True)
    app = shared()
    flows = app.register(version(old))
    async with app:
        await flows.schedule("1")
        await flows.send_message("1", old(7, "thanks"))
        await shared.clock.settle()
    app = shared()
    flows = app.register(version(new))
    async with app:
        await flows.send_message("1", "go")
        assert await flows.completion("1") == new(7, "card")


async def test_a_class_that_was_renamed_is_read_under_its_alias(shared: Apps) -> None:
    old, new = version_of_paid(is_new=False), version_of_paid(is_new=True)
    new.__name__ = new.__qualname__ = "Payment"

    def version(paid: type[Any]) -> Any:
        def load() -> Any:
            return paid(1, "x")

        @flow(name="evolving")
        async def evolving() -> list[Any]:
            loaded = await capture("load", load)
            await message(str)
            return [loaded, await message(paid)]

        return evolving

    def prepare(*, with_alias: bool) -> Any:
        app = shared()
        if with_alias:
            app.alias(f"{__name__}:Paid", new)
        return app, app.register(version(new))

    app = shared()
    flows = app.register(version(old))
    async with app:
        await flows.schedule("1")
        await flows.send_message("1", old(7, "thanks"))
        await shared.clock.settle()
    app, flows = prepare(with_alias=False)
    async with app:
        await flows.send_message("1", "go")
        with pytest.raises(FlowParked, match=f"{__name__}:Paid"):
            await flows.completion("1")
    app, flows = prepare(with_alias=True)
    async with app:
        assert await flows.completion("1") == [new(1, "card"), new(7, "card")]


@pytest.mark.parametrize(
    ("name", "cls"), [("Paid", LineAfter), (":Paid", LineAfter), ("shop:Paid", "LineAfter")]
)
def test_an_alias_that_none_can_be_is_refused(name: str, cls: Any) -> None:
    with pytest.raises(RegistrationError, match="give the former `module:Class`"):
        Unbroken("sqlite://").alias(name, cls)


# the same id again, with arguments that mean the same


async def test_equal_sets_are_no_other_arguments(apps: Apps) -> None:
    first, again = {0, 8}, {8, 0}
    assert list(first) != list(again), "the order of a set follows its making"

    @flow
    async def counting(numbers: set[int], among: dict[str, frozenset[int]]) -> int:
        return len(numbers) + len(among)

    app = apps()
    told = events_of(app)
    flows = app.register(counting)
    async with app:
        await flows.run("1", first, {"x": frozenset(first)})
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParamIgnored)
            await flows.options(strict=True).run("1", again, {"x": frozenset(again)})
        with pytest.raises(ParamIgnored):
            await flows.options(strict=True).run("1", {8}, {"x": frozenset(again)})
    assert names_of(told).count("flow.param_ignored") == 1


async def test_arguments_that_the_code_cannot_read_any_more_count_as_others(shared: Apps) -> None:
    async def before(amount: str) -> None:
        await message(str)

    async def after(amount: int) -> None:
        await message(str)

    await start_and_stop(shared, flow(name="changed")(before), "many")
    app = shared()
    flows: Any = app.register(flow(name="changed")(after))
    async with app:
        with pytest.raises(ParamIgnored):
            await flows.options(strict=True).schedule("1", 5)


async def test_a_parameter_that_came_later_makes_no_other_arguments(shared: Apps) -> None:
    async def before(product: str) -> None:
        await message(str)

    async def after(product: str, amount: int = 1) -> int:
        await message(str)
        return amount

    await start_and_stop(shared, flow(name="growing")(before), "tea")
    app = shared()
    flows: Any = app.register(flow(name="growing")(after))
    async with app:
        strict = flows.options(strict=True)
        await strict.schedule("1", "tea")
        await strict.schedule("1", "tea", amount=1)
        with pytest.raises(ParamIgnored):
            await strict.schedule("1", "tea", amount=2)
