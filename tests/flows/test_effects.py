"""Effects: recorded once, remembered through suspension and crash, under stable names."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, stored_effects
from unbroken import (
    EffectInterrupted,
    FlowFailed,
    NotInFlow,
    capture,
    current_flow,
    effect,
    flow,
    gather,
    message,
    now,
    sleep,
)
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)
PAST_LEASE = LEASE + timedelta(seconds=5)


@dataclass
class Animal:
    name: str


@dataclass
class Dog(Animal):
    tail: int


async def test_a_completed_effect_is_not_run_again(apps: Apps, clock: VirtualClock) -> None:
    ran: list[str] = []

    async def fetch(n: int) -> int:
        ran.append("async")
        return n + len(ran)

    def compute(n: int) -> int:
        ran.append("sync")
        return n + len(ran)

    def note() -> None:
        ran.append("none")

    @flow
    async def three() -> tuple[int, int, None]:
        results = await capture(fetch, 10), await capture(compute, 20), await capture(note)
        await sleep(HOUR)
        return results

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(three)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == (11, 22, None)
    assert ran == ["async", "sync", "none"]


async def test_an_effect_without_a_result_is_remembered(apps: Apps, clock: VirtualClock) -> None:
    asked: list[int] = []

    def find(n: int) -> str | None:
        asked.append(n)
        return None

    @flow
    async def ask() -> list[str | None]:
        first = await capture(find, 1)
        await sleep(HOUR)
        return [first, await capture("again", find, 2)]

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(ask)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == [None, None]
    assert asked == [1, 2]


async def test_an_effect_that_a_crash_cut_runs_again(shared: Apps) -> None:
    gate, ran = Gate(), []

    async def ship(order: str) -> str:
        ran.append(order)
        if len(ran) == 1:
            await gate.pass_through()
        return f"shipped {order} in try {len(ran)}"

    @flow
    async def order_flow(order: str) -> str:
        return await capture(ship, order)

    hung, hung_flows = await shared.hang(order_flow)
    await hung_flows.schedule("a", "book")
    await gate.reached()

    other = shared()
    flows = other.register(order_flow)
    async with other:
        await shared.clock.advance(PAST_LEASE)
        assert await flows.completion("a") == "shipped book in try 2"


async def test_an_at_most_once_effect_that_a_crash_cut_is_refused_and_not_repeated(
    shared: Apps,
) -> None:
    gate, ran = Gate(), []

    @effect(at_most_once=True)
    async def ship(order: str) -> None:
        ran.append(order)
        await gate.pass_through()

    @flow
    async def order_flow(order: str) -> list[str]:
        refusals: list[str] = []
        try:
            await ship(order)
        except EffectInterrupted as error:
            refusals.append(error.key)
        await sleep(HOUR)
        await ship(order)
        refusals.append("ran")
        return refusals

    hung, hung_flows = await shared.hang(order_flow)
    await hung_flows.schedule("a", "book")
    await gate.reached()

    other = shared(suspend_after=AT_ONCE)
    flows = other.register(order_flow)
    async with other:
        await shared.clock.advance(PAST_LEASE)
        gate.open()
        await shared.clock.advance(HOUR)
        assert await flows.completion("a") == ["ship", "ran"]
    assert ran == ["book", "book"], "the second `ship` is another effect, and ran"


async def test_an_interrupted_effect_that_nobody_catches_fails_the_flow(shared: Apps) -> None:
    gate = Gate()

    @flow
    async def order_flow() -> None:
        await capture("ship", effect(gate.pass_through, at_most_once=True))

    hung, hung_flows = await shared.hang(order_flow)
    await hung_flows.schedule("a")
    await gate.reached()
    other = shared()
    flows = other.register(order_flow)
    async with other:
        await shared.clock.advance(PAST_LEASE)
        with pytest.raises(FlowFailed, match="'ship' began and its end was never recorded"):
            await flows.completion("a")


async def test_a_completed_at_most_once_effect_gives_its_recorded_result(
    apps: Apps, clock: VirtualClock
) -> None:
    ran: list[str] = []

    @effect(at_most_once=True)
    async def ship(order: str) -> str:
        ran.append(order)
        return f"T-{len(ran)}"

    @flow
    async def order_flow() -> str:
        tracking = await ship("book")
        await sleep(HOUR)
        return tracking

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(order_flow)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == "T-1"
        assert stored_effects(app, "a") == {"ship": "capture", "sleep": "deadline"}
    assert ran == ["book"]


async def test_an_at_most_once_effect_marks_its_begin_before_its_body(apps: Apps) -> None:
    seen: list[dict[str, str]] = []

    @flow
    async def order_flow() -> None:
        await capture(
            "ship",
            effect(lambda: seen.append(stored_effects(app, "a")), at_most_once=True, thread=False),
        )

    app = apps()
    flows = app.register(order_flow)
    async with app:
        await flows.run("a")
    assert seen == [{"ship.begun": "begun"}]


async def test_a_failed_effect_raises_again_without_running(
    apps: Apps, clock: VirtualClock
) -> None:
    ran: list[int] = []
    caught: list[tuple[type, str]] = []

    async def ship() -> None:
        ran.append(1)
        raise KeyError("no stock")

    @flow
    async def order_flow() -> str:
        try:
            await capture(ship)
        except KeyError as error:
            caught.append((type(error), str(error)))
        await sleep(HOUR)
        return "handled"

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(order_flow)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == "handled"
    assert ran == [1]
    assert caught == [(KeyError, "'no stock'")] * 2


async def test_names_count_up_in_order_of_call_and_stay_over_restarts(
    apps: Apps, clock: VirtualClock
) -> None:
    def add(n: int) -> int:
        return n

    @flow
    async def twelve() -> list[int]:
        results = [await capture(add, n) for n in range(12)]
        await sleep(HOUR)
        return results

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(twelve)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == list(range(12))
        keys = {"add", "sleep", *(f"add#{n}" for n in range(2, 13))}
        assert stored_effects(app, "a").keys() == keys


async def test_the_key_is_taken_at_the_call_and_not_at_the_await(
    apps: Apps, clock: VirtualClock
) -> None:
    def give(n: int) -> int:
        return n

    @flow
    async def backwards() -> list[int]:
        first, second = capture(give, 1), capture(give, 2)
        results = [await second, await first]
        await sleep(HOUR)
        return results

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(backwards)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == [2, 1]


async def test_a_nested_effect_has_a_key_beneath_its_parent_until_the_parent_is_done(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[dict[str, str]] = []

    def give(n: int) -> int:
        return n

    async def parent() -> int:
        total = await capture(give, 1) + await capture("explicit", give, 2)
        seen.append(stored_effects(app, "a"))
        return total

    @flow
    async def nested() -> int:
        return await capture(parent) + await capture("named", parent)

    app = apps()
    flows = app.register(nested)
    async with app:
        assert await flows.run("a") == 6
        assert seen[0] == {"parent/give": "capture", "parent/explicit": "capture"}
        assert seen[1] == {
            "parent": "capture",
            "named/give": "capture",
            "named/explicit": "capture",
        }
        assert stored_effects(app, "a") == {"parent": "capture", "named": "capture"}


async def test_children_of_a_failed_or_empty_parent_are_gone_too(apps: Apps) -> None:
    async def fails() -> None:
        await capture("inner", lambda: 1)
        raise ValueError("after the inner one")

    async def gives_nothing() -> None:
        await capture("inner", lambda: 1)

    @flow
    async def nested() -> None:
        await capture(gives_nothing)
        with pytest.raises(ValueError, match="after the inner one"):
            await capture(fails)

    app = apps()
    flows = app.register(nested)
    async with app:
        await flows.run("a")
        assert stored_effects(app, "a") == {"gives_nothing": "capture", "fails": "capture"}


async def test_a_nested_effect_survives_the_crash_of_its_parent(shared: Apps) -> None:
    gate, ran = Gate(), []

    async def reserve() -> str:
        ran.append("reserve")
        return "R"

    async def parent() -> str:
        ran.append("parent")
        reserved = await capture(reserve)
        if len(ran) == 2:
            await gate.pass_through()
        return reserved + "!"

    @flow
    async def nested() -> str:
        return await capture(parent)

    hung, hung_flows = await shared.hang(nested)
    await hung_flows.schedule("a")
    await gate.reached()
    other = shared()
    flows = other.register(nested)
    async with other:
        await shared.clock.advance(PAST_LEASE)
        assert await flows.completion("a") == "R!"
    assert ran == ["parent", "reserve", "parent"]


async def test_an_at_most_once_effect_inside_an_at_least_once_one_keeps_its_promise(
    shared: Apps,
) -> None:
    gate, ran = Gate(), []

    @effect(at_most_once=True)
    async def charge() -> None:
        ran.append("charge")
        await gate.pass_through()

    async def parent() -> str:
        try:
            await charge()
        except EffectInterrupted:
            return "unknown"
        return "charged"

    @flow
    async def nested() -> str:
        return await capture(parent)

    hung, hung_flows = await shared.hang(nested)
    await hung_flows.schedule("a")
    await gate.reached()
    other = shared()
    flows = other.register(nested)
    async with other:
        await shared.clock.advance(PAST_LEASE)
        assert await flows.completion("a") == "unknown"
    assert ran == ["charge"]


async def test_an_effect_without_flush_is_stored_with_the_next_write(apps: Apps) -> None:
    seen: list[dict[str, str]] = []

    @flow
    async def lazy() -> int:
        first = await effect(lambda: 1, name="first", flush=False)()
        seen.append(stored_effects(app, "a"))
        assert current_flow().effects.get("first", int) == 1
        second = await capture("second", lambda: 2)
        seen.append(stored_effects(app, "a"))
        third = await effect(lambda: 3, name="third", flush=False)()
        return first + second + third

    app = apps()
    flows = app.register(lazy)
    async with app:
        assert await flows.run("a") == 6
        assert seen == [{}, {"first": "capture", "second": "capture"}]
        assert stored_effects(app, "a").keys() == {"first", "second", "third"}


async def test_a_suspension_writes_what_was_not_flushed(apps: Apps, clock: VirtualClock) -> None:
    ran: list[int] = []

    @flow
    async def lazy() -> int:
        count = await effect(lambda: ran.append(1) or len(ran), name="lazy", flush=False)()
        await message(str)
        return count

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(lazy)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        assert stored_effects(app, "a") == {"lazy": "capture"}
        await flows.send_message("a", "go on")
        assert await flows.completion("a") == 1


async def test_a_mark_is_true_once(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def marking() -> list[bool]:
        effects = current_flow().effects
        marks = [await effects.mark("started"), await effects.mark("started")]
        await message(str)
        return marks

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(marking)
    async with app:
        await flows.schedule("a")
        await clock.settle()
        await flows.send_message("a", "go on")
        assert await flows.completion("a") == [False, False]


async def test_a_flow_may_look_at_its_effects(apps: Apps) -> None:
    @flow
    async def looking() -> None:
        effects = current_flow().effects
        assert not effects.contains("id")
        assert effects.try_get("id", UUID) is None
        with pytest.raises(LookupError, match="no effect 'id' is recorded"):
            effects.get("id", UUID)
        made = await capture("id", uuid4)
        assert effects.contains("id")
        assert effects.get("id", UUID) == made
        assert effects.try_get("id", UUID) == made
        assert await effects.create_or_get("color", "red") == "red"
        assert await effects.create_or_get("color", "blue") == "red"
        with pytest.raises(ZeroDivisionError):
            await capture("broken", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            effects.get("broken", float)

    app = apps()
    flows = app.register(looking)
    async with app:
        await flows.run("a")


async def test_the_first_of_several_captures_in_tasks_is_remembered(
    apps: Apps, clock: VirtualClock
) -> None:
    gate, winners = Gate(), []

    async def fast() -> str:
        return "fast"

    async def slow() -> str:
        await gate.pass_through()
        return "slow"

    async def first_of_both() -> str:
        tasks = [asyncio.create_task(fast()), asyncio.create_task(slow())]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        return next(iter(done)).result()

    @flow
    async def compete() -> str:
        winner = await capture(first_of_both)
        winners.append(winner)
        await sleep(HOUR)
        return winner

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(compete)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == "fast"
    assert winners == ["fast", "fast"]


async def test_all_branches_of_a_gather_are_remembered(apps: Apps, clock: VirtualClock) -> None:
    ran: list[str] = []

    async def call(name: str) -> str:
        ran.append(name)
        return name.upper()

    @flow
    async def both() -> tuple[str, str]:
        results = await gather(capture(call, "a"), capture(call, "b"))
        await sleep(HOUR)
        return results

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(both)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == ("A", "B")
    assert sorted(ran) == ["a", "b"]


async def test_branches_run_side_by_side_with_names_of_their_own(apps: Apps) -> None:
    running, most = 0, 0
    both_run = asyncio.Event()

    async def call(name: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            both_run.set()
        await both_run.wait()
        running -= 1
        return name

    async def branch(name: str) -> str:
        return await capture(call, name) + await capture("again", lambda: name)

    @flow
    async def both() -> tuple[str, str]:
        return await gather(branch("a"), branch("b"))

    app = apps()
    flows = app.register(both)
    async with app:
        assert await flows.run("x") == ("aa", "bb")
        assert stored_effects(app, "x").keys() == {
            "gather/0/call",
            "gather/0/again",
            "gather/1/call",
            "gather/1/again",
        }
    assert most == 2


async def test_a_crash_in_one_branch_repeats_only_what_was_not_done(shared: Apps) -> None:
    gate, ran = Gate(), []

    async def call(name: str) -> str:
        ran.append(name)
        if name == "slow" and ran.count("slow") == 1:
            await gate.pass_through()
        return name

    @flow
    async def both() -> tuple[str, str]:
        return await gather(capture(call, "fast"), capture(call, "slow"))

    hung, hung_flows = await shared.hang(both)
    await hung_flows.schedule("a")
    await gate.reached()
    while len(stored_effects(hung, "a")) < 1:
        await asyncio.to_thread(lambda: None)
    other = shared()
    flows = other.register(both)
    async with other:
        await shared.clock.advance(PAST_LEASE)
        assert await flows.completion("a") == ("fast", "slow")
    assert sorted(ran) == ["fast", "slow", "slow"]


async def test_a_failed_branch_fails_the_gather_and_cancels_the_others(apps: Apps) -> None:
    gate, cancelled = Gate(), []

    async def stand() -> None:
        try:
            await gate.pass_through()
        except asyncio.CancelledError:
            cancelled.append("stand")
            raise

    async def fail_then() -> None:
        await gate.reached()
        raise OSError("disk")

    @flow
    async def both() -> None:
        await gather(capture(stand), capture(fail_then))

    app = apps()
    flows = app.register(both)
    async with app:
        with pytest.raises(FlowFailed, match="OSError: disk"):
            await flows.run("a")
    assert cancelled == ["stand"]


async def test_a_clock_that_was_read_gives_the_same_instant_on_replay(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[datetime] = []

    @flow
    async def reading() -> datetime:
        seen.append(await now())
        await sleep(HOUR)
        return await now()

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(reading)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        later = await flows.completion("a")
    assert seen[0] == seen[1]
    assert later - seen[0] == HOUR


async def test_a_result_behind_a_base_class_comes_back_as_its_own_class(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[object] = []

    def adopt() -> Animal:
        return Dog("Rex", 1)

    def adopt_many() -> Sequence[Animal]:
        return [Dog("Rex", 1), Animal("Tom")]

    @flow
    async def adopting() -> Animal:
        seen.append(await capture(adopt))
        seen.append(await capture(adopt_many))
        await sleep(HOUR)
        return Dog("Ben", 2)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(adopting)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == Dog("Ben", 2)
    assert seen == [Dog("Rex", 1), [Dog("Rex", 1), Animal("Tom")]] * 2


@pytest.mark.parametrize(
    "name", ["a b", "Größe", "snow ☃ 😀", "back\\slash", "'; --", "%_", "x" * 200, "new\nline"]
)
async def test_an_exotic_name_survives(apps: Apps, clock: VirtualClock, name: str) -> None:
    ran: list[str] = []

    @flow
    async def exotic() -> int:
        result = await capture(name, lambda: ran.append(name) or len(ran))
        await sleep(HOUR)
        return result

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(exotic)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == 1
        assert name in stored_effects(app, "a")


async def test_a_large_result_and_many_effects_come_back(apps: Apps, clock: VirtualClock) -> None:
    large = "ü" * 250_000

    @flow
    async def heavy() -> tuple[int, int]:
        text = await capture("large", lambda: large)
        numbers = [await capture("one", lambda n=n: n) for n in range(500)]
        await sleep(HOUR)
        return len(text), sum(numbers)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(heavy)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        assert await flows.completion("a") == (250_000, sum(range(500)))


async def test_partials_methods_and_callable_objects_are_named_after_what_they_call(
    apps: Apps,
) -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        def sell(self, what: str) -> str:
            return f"{self.name} sells {what}"

        def __call__(self, what: str) -> str:
            return f"{self.name}: {what}"

    def add(a: int, b: int) -> int:
        return a + b

    @flow
    async def naming() -> list[object]:
        shop = Shop("Ann")
        return [
            await capture(partial(add, 1), 2),
            await capture(shop.sell, "tea"),
            await capture(shop, "tea"),
            str(await capture(UUID, int=1)),
        ]

    app = apps()
    flows = app.register(naming)
    async with app:
        assert await flows.run("a") == [3, "Ann sells tea", "Ann: tea", str(UUID(int=1))]
        assert stored_effects(app, "a").keys() == {"add", "sell", "Shop", "UUID"}


async def test_an_effect_may_be_named_by_its_arguments(apps: Apps) -> None:
    @effect(name=lambda order: f"ship:{order}")
    async def ship(order: str) -> str:
        return order

    @flow
    async def shipping() -> None:
        for order in ("a", "b"):
            await ship(order)

    app = apps()
    flows = app.register(shipping)
    async with app:
        await flows.run("a")
        assert stored_effects(app, "a").keys() == {"ship:a", "ship:b"}


async def test_an_effect_handed_to_capture_takes_that_name_and_does_not_nest(apps: Apps) -> None:
    @effect(at_most_once=True)
    async def ship(order: str) -> str:
        return order

    @flow
    async def shipping() -> str:
        return await capture("deliver", ship, "book")

    app = apps()
    flows = app.register(shipping)
    async with app:
        assert await flows.run("a") == "book"
        assert stored_effects(app, "a") == {"deliver": "capture"}


async def test_an_effect_works_on_methods_and_on_bound_methods(apps: Apps) -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @effect
        async def sell(self, what: str) -> str:
            return f"{self.name} sells {what}"

        async def give(self, what: str) -> str:
            return f"{self.name} gives {what}"

    @flow
    async def selling() -> list[str]:
        shop = Shop("Ann")
        return [
            await shop.sell("tea"),
            await effect(shop.give, at_most_once=True)("milk"),
            await capture("sell twice", shop.sell, "rum"),
        ]

    app = apps()
    flows = app.register(selling)
    async with app:
        assert await flows.run("a") == ["Ann sells tea", "Ann gives milk", "Ann sells rum"]
        assert stored_effects(app, "a").keys() == {"sell", "give", "sell twice"}


def test_an_effect_works_only_inside_a_flow() -> None:
    @effect
    async def ship() -> None: ...

    with pytest.raises(NotInFlow, match="only inside a running flow"):
        ship()
    with pytest.raises(NotInFlow, match="only inside a running flow"):
        capture(uuid4)


async def test_a_flow_called_like_a_function_runs_in_place(apps: Apps) -> None:
    @flow
    async def inner(n: int) -> int:
        return await capture("double", lambda: n * 2)

    @flow
    async def outer() -> int:
        return await inner(4)

    app = apps()
    outers = app.register(outer)
    async with app:
        assert await outers.run("a") == 8
        assert stored_effects(app, "a") == {"double": "capture"}
