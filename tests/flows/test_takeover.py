"""Takeover: another app goes on with what a vanished process left."""

from datetime import timedelta

from tests.flows.apps import (
    LEASE,
    Apps,
    Gate,
    events_of,
    loose,
    names_of,
    row,
    stored_effects,
    until,
)
from unbroken import Delivery, Status, capture, current_flow, flow, message
from unbroken.model.clock import moment_of
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
PAST_LEASE = LEASE + SECOND


@flow
async def who_ran() -> int:
    return current_flow().incarnation


@flow
async def wait_for_text() -> str:
    return await message(str)


async def test_a_flow_whose_process_vanished_is_ended_by_another(shared: Apps) -> None:
    gate, ran = Gate(), []

    @flow
    async def held() -> str:
        ran.append(current_flow().incarnation)
        if len(ran) == 1:
            await gate.pass_through()
        return "done"

    _, hung_flows = await shared.hang(held)
    await hung_flows.schedule("a")
    await gate.reached()
    app = shared()
    flows = app.register(held)
    async with app:
        await shared.clock.advance(LEASE - SECOND)
        assert ran == [1]
        await shared.clock.advance(2 * SECOND)
        assert await flows.completion("a") == "done"
    assert ran == [1, 2]


async def test_a_class_flow_without_result_is_taken_over_too(shared: Apps) -> None:
    gate, ran = Gate(), []

    @flow
    class Held:
        async def run(self, text: str) -> None:
            ran.append(text)
            if len(ran) == 1:
                await gate.pass_through()

    _, hung_flows = await shared.hang(Held)
    await hung_flows.schedule("a", "x")
    await gate.reached()
    app = shared()
    flows = app.register(Held)
    async with app:
        await shared.clock.advance(PAST_LEASE)
        assert await flows.completion("a") is None
    assert ran == ["x", "x"]


async def test_a_flow_whose_process_died_right_after_storing_it_is_run_by_another(
    shared: Apps,
) -> None:
    hung, hung_flows = await shared.hang(who_ran)
    loose(hung)._engine.executor.run = lambda claimed: None
    await hung_flows.schedule("a")
    assert (await row(hung, "who_ran", "a")).owner is not None
    app = shared()
    flows = app.register(who_ran)
    async with app:
        await shared.clock.advance(PAST_LEASE)
        assert await flows.completion("a") == 2


async def test_messages_to_a_flow_of_a_dead_process_reach_who_takes_it_over(
    shared: Apps,
) -> None:
    _, hung_flows = await shared.hang(wait_for_text)
    await hung_flows.schedule("a")
    app = shared()
    flows = app.register(wait_for_text)
    async with app:
        assert await flows.send_message("a", "for whom it concerns") is Delivery.ACCEPTED
        await shared.clock.advance(PAST_LEASE)
        assert await flows.completion("a") == "for whom it concerns"


async def test_a_process_that_was_declared_dead_writes_nothing_and_comes_back_under_a_new_id(
    shared: Apps,
) -> None:
    gate, ran = Gate(), []

    async def ship() -> str:
        ran.append("ship")
        if len(ran) == 1:
            await gate.pass_through()
        return f"T{len(ran)}"

    @flow
    async def order() -> str:
        return await capture(ship)

    hung, hung_flows = await shared.hang(order)
    told = events_of(hung)
    old_id = loose(hung)._engine.services.replica.id
    await hung_flows.schedule("a")
    await gate.reached()
    app = shared()
    flows = app.register(order)
    async with app:
        await shared.clock.advance(PAST_LEASE)
        assert await flows.completion("a") == "T2"
        gate.open()
        await until(lambda: "replica.registered" in names_of(told))
        assert "replica.fenced" in names_of(told)
        assert loose(hung)._engine.services.replica.id != old_id
        assert stored_effects(app, "a") == {"ship": "capture"}
        assert await flows.completion("a") == "T2"
        assert await hung_flows.completion("a") == "T2"
    assert ran == ["ship", "ship"]


async def test_a_flow_that_takes_its_process_down_again_and_again_is_parked(shared: Apps) -> None:
    ran: list[int] = []

    @flow
    async def killer() -> None:
        ran.append(1)
        await Gate().pass_through()

    @flow
    async def sibling() -> str:
        return "fine"

    clock = VirtualClock()
    for deaths in range(3):
        hung = shared(clock=clock, poison_after=3)
        flows = hung.register(killer)
        await hung.start()
        if deaths == 0:
            await flows.schedule("bad")
        await until(lambda times=deaths + 1: len(ran) == times)
        # The next process begins when this one, whose clock stands still, is dead.
        clock = VirtualClock(moment_of(clock.now()) + PAST_LEASE)

    app = shared(clock=clock, poison_after=3)
    flows, siblings = app.register(killer), app.register(sibling)
    told = events_of(app)
    async with app:
        await clock.settle()
        assert (await row(app, "killer", "bad")).status is Status.PARKED
        assert await siblings.run("good") == "fine"
        assert "flow.poison" in names_of(told)
