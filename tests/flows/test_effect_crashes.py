"""Effects that a crash cut: which run again, which are refused, and what of them is kept."""

from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, stored_effects
from unbroken import EffectInterrupted, FlowFailed, capture, effect, flow, sleep

HOUR = timedelta(hours=1)
PAST_LEASE = LEASE + timedelta(seconds=5)


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

    _, hung_flows = await shared.hang(order_flow)
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

    _, hung_flows = await shared.hang(order_flow)
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

    _, hung_flows = await shared.hang(order_flow)
    await hung_flows.schedule("a")
    await gate.reached()
    other = shared()
    flows = other.register(order_flow)
    async with other:
        await shared.clock.advance(PAST_LEASE)
        with pytest.raises(FlowFailed, match="'ship' began and its end was never recorded"):
            await flows.completion("a")


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

    _, hung_flows = await shared.hang(nested)
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

    _, hung_flows = await shared.hang(nested)
    await hung_flows.schedule("a")
    await gate.reached()
    other = shared()
    flows = other.register(nested)
    async with other:
        await shared.clock.advance(PAST_LEASE)
        assert await flows.completion("a") == "unknown"
    assert ran == ["charge"]
