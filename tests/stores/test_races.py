"""Two processes on one database want the same: one of them has it, and nothing is lost."""

import asyncio

from tests.stores.clock import FakeClock
from tests.stores.driver import Driver, note
from tests.stores.test_two_stores import Pair, drivers
from unbroken.model.records import Delivery, FlowRef, Status
from unbroken.stores.batch import (
    Answer,
    Append,
    Appended,
    Changed,
    Continue,
    Correlate,
    LeavePlace,
    Retry,
    Start,
    TakePlace,
)
from unbroken.stores.store import Amendment

ROUNDS = 30


async def take(driver: Driver, flow: FlowRef, queue: str) -> Changed:
    return await driver.change(TakePlace(flow, 1, queue, f"~{queue}", 1))


async def leave(driver: Driver, flow: FlowRef, queue: str) -> Changed:
    return await driver.change(LeavePlace(flow, 1, queue))


async def test_of_two_that_want_one_place_one_holds_it_and_then_the_other(
    two_stores: Pair,
) -> None:
    a, b = await drivers(two_stores)
    left, right = await a.run("left"), await b.run("right")
    owners = {left: a, right: b}
    for number in range(ROUNDS):
        queue = f"q{number}"
        first, second = await asyncio.gather(take(a, left, queue), take(b, right, queue))
        assert len(first.granted) + len(second.granted) == 1
        holder, waiting = (left, right) if first.granted else (right, left)
        assert [place.flow for place in await a.store.places(queue)] == [holder, waiting]
        assert f"~{queue}" in await b.inbox(holder)
        assert f"~{queue}" not in await b.inbox(waiting)
        ((told, _),) = (await leave(owners[holder], holder, queue)).granted
        assert (told.flow, told.owner) == (waiting, owners[waiting].replica)
        moved = (await two_stores[0].poll(owners[waiting].replica, ["t"], [])).moved
        assert moved == (waiting.number,)


async def test_one_who_comes_as_the_other_leaves_is_told_by_one_of_them(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)
    left, right = await a.run("left"), await b.run("right")
    for number in range(ROUNDS):
        queue = f"q{number}"
        await take(a, left, queue)
        gone, come = await asyncio.gather(leave(a, left, queue), take(b, right, queue))
        assert len(gone.granted) + len(come.granted) == 1
        assert (await b.inbox(right)).count(f"~{queue}") == 1


async def test_a_holders_end_and_a_take_never_leave_the_place_empty(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)
    right = await b.run("right")
    for number in range(ROUNDS):
        queue = f"q{number}"
        holder = await a.run(f"f{number}")
        await take(a, holder, queue)
        ended, taken = await asyncio.gather(a.end(holder, frees=True), take(b, right, queue))
        assert len(ended.granted) + len(taken.granted) == 1
        assert [place.holds for place in await a.store.places(queue)] == [True]


async def test_a_forced_release_and_an_own_one_free_a_place_once(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)
    holder = await a.run("holder")
    waiting = [await b.run("second"), await b.run("third")]
    for number in range(ROUNDS):
        queue = f"q{number}"
        await take(a, holder, queue)
        for flow in waiting:
            await take(b, flow, queue)
        own, forced = await asyncio.gather(
            leave(a, holder, queue), b.change(LeavePlace(holder, None, queue))
        )
        assert {own.answer, forced.answer} == {Answer.ACCEPTED, Answer.REFUSED}
        assert [place.holds for place in await a.store.places(queue)] == [True, False]


async def test_a_cancel_and_an_end_that_race_agree(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)
    for number in range(ROUNDS):
        flow = await a.run(f"f{number}")
        ended, asked = await asyncio.gather(a.end(flow), b.cancel(flow.id))
        if ended.answer is Answer.ACCEPTED:
            assert asked.deliveries == (Delivery.FLOW_ENDED,)
            assert (await b.view(flow.id)).status is Status.DONE
        else:
            assert ended == Changed(Answer.MOVED, inbox=1, cancel=True)
            assert asked.deliveries == (Delivery.ACCEPTED,)
            assert (await a.end(flow, Status.CANCELLED)).answer is Answer.ACCEPTED


async def test_a_cancel_reaches_a_flow_that_gives_itself_back_or_goes_on_anew(
    two_stores: Pair, clock: FakeClock
) -> None:
    a, b = await drivers(two_stores)
    for number in range(ROUNDS):
        flow = await a.run(f"f{number}")
        change = Continue(flow, 1, "{}") if number % 2 else Retry(flow, 1, "e", clock.now() + 10**9)
        changed, asked = await asyncio.gather(a.change(change), b.cancel(flow.id))
        assert asked.deliveries == (Delivery.ACCEPTED,)
        assert await b.inbox(flow) == ("~cancel",)
        view = await b.view(flow.id)
        assert view.cancel
        if changed.answer is Answer.MOVED:
            assert changed == Changed(Answer.MOVED, inbox=1, cancel=True)
            assert (view.owner, view.incarnation) == ("a", 1)
        elif number % 2:
            assert (view.owner, view.incarnation) == ("a", 2)
            assert flow.number in (await a.store.poll("a", ["t"], [])).moved
        else:
            assert view.due_at == clock.now(), "no pause holds a cancel up"


async def test_who_routes_finds_a_flow_from_when_its_correlation_is_acknowledged(
    two_stores: Pair,
) -> None:
    a, b = await drivers(two_stores)

    async def route(correlation: str) -> tuple[FlowRef, ...]:
        found = await b.store.correlated("t", correlation)
        for flow in found:
            await b.send(flow.id, correlation)
        return found

    for number in range(ROUNDS):
        flow, correlation = await a.run(f"f{number}"), f"c{number}"
        _, found = await asyncio.gather(
            a.change(Correlate(flow, 1, correlation)), route(correlation)
        )
        assert await route(correlation) == (flow,)
        assert await a.inbox(flow) == (correlation,), "routed twice, there once"
        assert found in ((), (flow,))
        await a.change(Correlate(flow, 1, correlation, remove=True))
        assert await route(correlation) == ()


async def test_two_that_mend_together_mend_each_flow_once(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)
    for _ in range(5):
        flows = [await a.run(f"f{a.number}") for _ in range(10)]
        for flow in flows:
            await a.end(flow, Status.PARKED, mendable=True)
        left, right = await asyncio.gather(a.store.mend(["t"]), b.store.mend(["t"]))
        assert left + right == len(flows)
        assert {left, right} == {0, len(flows)}
        claimed = (await a.claim(limit=100)).claimed
        assert {one.flow for one in claimed} == set(flows)
        for flow in flows:
            await a.end(flow, incarnation=2)


async def test_no_message_is_lost_between_parking_and_mending(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)
    for number in range(ROUNDS):
        flow = await a.run(f"f{number}")
        parked, first = await asyncio.gather(
            a.end(flow, Status.PARKED, mendable=True), b.send(flow.id, "first")
        )
        assert parked.answer is Answer.ACCEPTED
        assert first.deliveries == (Delivery.ACCEPTED,)
        view = await b.view(flow.id)
        assert (view.status, view.owner, view.due_at) == (Status.PARKED, None, None)
        mended, second = await asyncio.gather(a.store.mend(["t"]), b.send(flow.id, "second"))
        assert mended == 1
        assert second.deliveries == (Delivery.ACCEPTED,)
        (claimed,) = (await a.claim()).claimed
        assert [message.key for message in claimed.messages] == ["first", "second"]
        await a.end(flow, incarnation=2)


async def test_what_is_mended_is_claimed_by_one(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)
    for number in range(ROUNDS):
        flow = await a.run(f"f{number}")
        await a.end(flow, Status.PARKED, mendable=True)
        mended, early = await asyncio.gather(a.store.mend(["t"]), b.claim())
        late = await asyncio.gather(a.claim(), b.claim())
        claimed = [one for receipt in (early, *late) for one in receipt.claimed]
        assert mended == 1
        assert [(one.flow, one.incarnation) for one in claimed] == [(flow, 2)]
        owner = a if (await a.view(flow.id)).owner == "a" else b
        await owner.end(flow, incarnation=2)


async def test_an_amendment_and_a_claim_that_race_never_meet(two_stores: Pair) -> None:
    """Who claims first runs the former arguments; who amends first gives it the new ones."""
    a, b = await drivers(two_stores)
    for number in range(ROUNDS):
        (started,) = (await a.commit(starts=(Start("t", f"f{number}", "old"),))).started
        version = (await a.view(started.flow.id)).version
        amended, receipt = await asyncio.gather(
            a.store.amend(started.flow.number, version, Amendment(param="new")), b.claim()
        )
        if not receipt.claimed:  # a claim need not wait for a row that somebody changes
            receipt = await b.claim()
        (claimed,) = receipt.claimed
        assert claimed.param == ("new" if amended else "old")
        assert (await a.view(started.flow.id)).param == claimed.param
        await b.end(claimed.flow)


async def test_of_two_restarts_one_restarts_and_the_flow_runs_once(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)
    for number in range(ROUNDS):
        flow = await a.run(f"f{number}")
        await a.end(flow, Status.FAILED)
        version = (await a.view(flow.id)).version
        restart = Amendment(restarts=True)
        both = await asyncio.gather(
            a.store.amend(flow.number, version, restart),
            b.store.amend(flow.number, version, restart),
        )
        assert sorted(both) == [False, True]
        (claimed,) = (await b.claim()).claimed
        assert claimed.incarnation == 2
        await b.end(flow, incarnation=2)


async def test_a_start_with_messages_and_a_send_number_them_apart(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)
    for number in range(ROUNDS):
        id = f"f{number}"
        start = Start("t", id, "{}", messages=(note("a"), note("b")))
        receipt, sent = await asyncio.gather(a.commit(starts=(start,)), b.send(id, "b", "c"))
        flow = receipt.started[0].flow
        if sent.flow is None:
            assert await b.inbox(flow) == ("a", "b")
        else:
            assert sent.deliveries == (Delivery.DUPLICATE, Delivery.ACCEPTED)
            assert sent.positions == (4,)
            assert await b.inbox(flow) == ("a", "b", "c")


async def test_both_sides_may_create_and_send_in_any_order(two_stores: Pair) -> None:
    """A message for a flow that will be created: start if absent, then append, in one batch."""
    a, b = await drivers(two_stores)

    async def start_and_send(driver: Driver, id: str, key: str) -> Appended:
        receipt = await driver.commit(
            starts=(Start("t", id, "{}"),), changes=(Append("t", id, (note(key),)),)
        )
        (appended,) = receipt.changed
        assert isinstance(appended, Appended)
        return appended

    for number in range(ROUNDS):
        id = f"f{number}"
        left, right = await asyncio.gather(start_and_send(a, id, "l"), start_and_send(b, id, "r"))
        assert left.flow is not None
        assert left.flow == right.flow
        assert {left.positions, right.positions} == {(1,), (2,)}
        assert set(await a.inbox(left.flow)) == {"l", "r"}
