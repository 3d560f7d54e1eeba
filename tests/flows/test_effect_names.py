"""Names: where an effect's key comes from, and that it stays over restarts."""

from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest

from tests.flows.apps import AT_ONCE, Apps, loose, stored_effects
from unbroken import NotInFlow, capture, current_flow, effect, flow, message, sleep
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


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
        assert stored_effects(app, "a") == {"deliver": "once"}


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
        loose(ship)()
    with pytest.raises(NotInFlow, match="only inside a running flow"):
        loose(capture)(uuid4)


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
