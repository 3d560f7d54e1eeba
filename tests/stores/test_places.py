"""Places in the queues of locks and semaphores: first come, first served, told by a message."""

from itertools import pairwise

import pytest

from tests.stores.clock import SECOND, FakeClock
from tests.stores.driver import Driver, note
from unbroken.model.records import Delivery, FlowRef, Parent, Status
from unbroken.stores.batch import (
    Answer,
    Append,
    Appended,
    Changed,
    Continue,
    End,
    LeavePlace,
    NewMessage,
    Retry,
    TakePlace,
)
from unbroken.stores.store import Amendment, Place


async def take(
    driver: Driver, flow: FlowRef, *, key: str = "~lock", limit: int = 1, queue: str = "q"
) -> Changed:
    return await driver.change(TakePlace(flow, 1, queue, key, limit))


async def leave(
    driver: Driver, flow: FlowRef, *, incarnation: int | None = 1, queue: str = "q"
) -> Changed:
    return await driver.change(LeavePlace(flow, incarnation, queue))


async def standing(driver: Driver, queue: str = "q") -> list[tuple[str, bool]]:
    return [(place.flow.id, place.holds) for place in await driver.store.places(queue)]


def granted(changed: Changed) -> list[FlowRef | None]:
    assert changed.answer is Answer.ACCEPTED
    return [appended.flow for appended, _ in changed.granted]


@pytest.fixture
async def line(me: Driver) -> list[FlowRef]:
    """Four flows that queue up at one lock, in this order."""
    flows = [await me.run(name) for name in "dcba"]
    for flow in flows:
        await take(me, flow)
    return flows


async def test_the_first_holds_the_place_at_once_and_is_told(me: Driver, clock: FakeClock) -> None:
    flow = await me.run("f")
    answer = await take(me, flow)
    message = NewMessage("~lock", "~granted", "null")
    appended = Appended((Delivery.ACCEPTED,), (1,), flow, "me")
    assert answer == Changed(Answer.ACCEPTED, granted=((appended, message),))
    inbox = await me.store.read_inbox(flow.number)
    assert inbox is not None
    (told,) = inbox.messages
    assert (inbox.counter, told.key, told.type, told.body) == (1, "~lock", "~granted", "null")
    assert await me.store.places("q") == (Place(flow, True, clock.now()),)
    assert (await me.store.poll("me", ["t"], [])).moved == (), "the owner delivers it itself"


async def test_the_others_wait_in_order(me: Driver, line: list[FlowRef]) -> None:
    assert await standing(me) == [("d", True), ("c", False), ("b", False), ("a", False)]
    for flow in line[1:]:
        assert await me.inbox(flow) == ()
    for leaving, following in pairwise(line):
        assert granted(await leave(me, leaving)) == [following]
        assert await me.inbox(following) == ("~lock",)
    assert granted(await leave(me, line[-1])) == []
    assert await standing(me) == []


async def test_as_many_hold_a_place_as_the_limit_says(me: Driver) -> None:
    flows = [await me.run(name) for name in "abcd"]
    told = [granted(await take(me, flow, limit=2)) for flow in flows]
    assert told == [[flows[0]], [flows[1]], [], []]
    assert granted(await leave(me, flows[1])) == [flows[2]]
    assert await standing(me) == [("a", True), ("c", True), ("d", False)]


async def test_queues_do_not_meet(me: Driver) -> None:
    first, second = await me.run("a"), await me.run("b")
    assert granted(await take(me, first, queue="q")) == [first]
    assert granted(await take(me, second, queue="Q")) == [second]
    assert granted(await take(me, first, queue="q ", key="~other")) == [first]
    assert await me.inbox(first) == ("~lock", "~other")


async def test_a_second_take_changes_nothing(me: Driver, line: list[FlowRef]) -> None:
    before = await me.store.places("q")
    for flow in line[:2]:
        view = await me.view(flow.id)
        assert await take(me, flow, key="~again", limit=9) == Changed(Answer.ACCEPTED)
        assert await me.view(flow.id) == view
    assert await me.store.places("q") == before


async def test_who_comes_back_stands_at_the_tail(me: Driver, line: list[FlowRef]) -> None:
    await leave(me, line[0])
    await take(me, line[0], key="~second")
    assert await standing(me) == [("c", True), ("b", False), ("a", False), ("d", False)]


async def test_who_waits_may_leave(me: Driver, line: list[FlowRef]) -> None:
    assert granted(await leave(me, line[1])) == []
    assert granted(await leave(me, line[0])) == [line[2]]
    assert await me.inbox(line[1]) == ()


async def test_nobody_overtakes_the_head_whatever_its_limit(me: Driver) -> None:
    flows = [await me.run(name) for name in "abcd"]
    await take(me, flows[0], limit=2)
    assert granted(await take(me, flows[1], limit=1)) == []
    assert granted(await take(me, flows[2], limit=3)) == []
    assert granted(await take(me, flows[3], limit=3)) == []
    # Without the head, both behind it may hold a place beside the holder.
    assert granted(await leave(me, flows[1])) == [flows[2], flows[3]]


async def test_since_says_when_the_flow_began_to_wait_or_to_hold(
    me: Driver, clock: FakeClock
) -> None:
    first, second = await me.run("a"), await me.run("b")
    begin = clock.now()
    await take(me, first)
    await take(me, second)
    await clock.advance(5)
    assert [place.since for place in await me.store.places("q")] == [begin, begin]
    await leave(me, first)
    assert await me.store.places("q") == (Place(second, True, begin + 5 * SECOND),)


async def test_who_does_not_own_this_incarnation_is_refused(me: Driver, other: Driver) -> None:
    flow = await me.run("f")
    assert (await take(other, flow)).answer is Answer.REFUSED
    early = TakePlace(flow, 2, "q", "~lock", 1)
    assert (await me.change(early)).answer is Answer.REFUSED
    assert await standing(me) == []
    await take(me, flow)
    assert (await leave(other, flow)).answer is Answer.REFUSED
    assert (await leave(me, flow, incarnation=2)).answer is Answer.REFUSED
    assert await standing(me) == [("f", True)]


async def test_leaving_where_one_never_was_is_refused(me: Driver, line: list[FlowRef]) -> None:
    stranger = await me.run("stranger")
    assert (await leave(me, stranger)).answer is Answer.REFUSED
    assert (await leave(me, line[0], queue="absent")).answer is Answer.REFUSED
    await leave(me, line[0])
    assert (await leave(me, line[0])).answer is Answer.REFUSED


async def test_an_operator_may_force_anybody_out(
    me: Driver, other: Driver, line: list[FlowRef]
) -> None:
    assert granted(await leave(other, line[0], incarnation=None)) == [line[1]]
    assert (await leave(other, line[0], incarnation=None)).answer is Answer.REFUSED
    await me.suspend(line[1], seen=1)
    assert granted(await leave(other, line[1], incarnation=None)) == [line[2]]


async def test_a_waiting_flow_becomes_due_and_the_owner_of_a_running_one_is_told(
    me: Driver, other: Driver
) -> None:
    holder, asleep, awake = await me.run("a"), await me.run("b"), await other.run("c")
    await take(me, holder)
    await take(me, asleep)
    await take(other, awake)
    await me.suspend(asleep)
    await leave(me, holder)
    (claimed,) = (await me.claim()).claimed
    assert claimed.flow == asleep
    assert [message.key for message in claimed.messages] == ["~lock"]
    answer = await leave(me, asleep, incarnation=2)
    ((appended, _),) = answer.granted
    assert (appended.flow, appended.owner) == (awake, "other")
    assert (await me.store.poll("other", ["t"], [])).moved == (awake.number,)


@pytest.mark.parametrize("status", [Status.DONE, Status.FAILED, Status.CANCELLED])
async def test_an_end_frees_every_place(me: Driver, line: list[FlowRef], status: Status) -> None:
    await take(me, line[0], queue="another", key="~another")
    await take(me, line[2], queue="another", key="~another")
    ended = await me.end(line[0], status, frees=True)
    assert sorted(flow.id for flow in granted(ended) if flow) == ["b", "c"]
    assert await standing(me) == [("c", True), ("b", False), ("a", False)]
    assert await standing(me, "another") == [("b", True)]


async def test_an_end_that_tells_and_frees_does_both(me: Driver, line: list[FlowRef]) -> None:
    parent = Parent(await me.run("p"), "~child")
    child = await me.run("child", parent=parent)
    await take(me, child, queue="another")
    await take(me, line[3], queue="another", key="~another")
    ended = await me.change(
        End(child, 1, Status.DONE, parents=(parent,), told=note("", "1"), frees=True)
    )
    assert [told.flow for told in ended.told] == [parent.flow]
    assert granted(ended) == [line[3]]


async def test_the_end_of_one_who_waits_frees_its_turn(me: Driver, line: list[FlowRef]) -> None:
    assert granted(await me.end(line[1], frees=True)) == []
    assert granted(await leave(me, line[0])) == [line[2]]


async def test_an_end_that_was_refused_frees_nothing(me: Driver, line: list[FlowRef]) -> None:
    await me.cancel("d")
    assert (await me.end(line[0], frees=True)).answer is Answer.MOVED
    assert (await me.end(line[0], frees=True, incarnation=2)).answer is Answer.REFUSED
    assert (await standing(me))[0] == ("d", True)


@pytest.mark.parametrize("verb", ["retry", "continue"])
async def test_another_run_frees_every_place(
    me: Driver, line: list[FlowRef], clock: FakeClock, verb: str
) -> None:
    change = (
        Retry(line[0], 1, "error", clock.now(), frees=True)
        if verb == "retry"
        else Continue(line[0], 1, "{}", frees=True)
    )
    assert granted(await me.change(change)) == [line[1]]
    assert await standing(me) == [("c", True), ("b", False), ("a", False)]


@pytest.mark.parametrize("verb", ["retry", "continue"])
async def test_another_run_need_not_free_its_places(
    me: Driver, line: list[FlowRef], clock: FakeClock, verb: str
) -> None:
    change = (
        Retry(line[0], 1, "error", clock.now()) if verb == "retry" else Continue(line[0], 1, "{}")
    )
    assert granted(await me.change(change)) == []
    assert (await standing(me))[0] == ("d", True)


async def test_a_flow_that_goes_on_anew_is_told_again_when_it_holds_a_place_again(
    me: Driver, line: list[FlowRef]
) -> None:
    await me.change(Continue(line[3], 1, "{}", frees=True))
    assert (await me.change(TakePlace(line[3], 2, "another", "~lock", 1))).granted
    await me.change(Continue(line[3], 2, "{}", frees=True))
    (appended, _) = (await me.change(TakePlace(line[3], 3, "another", "~lock", 1))).granted[0]
    assert appended.deliveries == (Delivery.ACCEPTED,)


async def test_a_suspended_or_orphaned_holder_keeps_its_place(
    me: Driver, other: Driver, line: list[FlowRef]
) -> None:
    await me.suspend(line[0], seen=1)
    assert (await standing(me))[0] == ("d", True)
    await me.commit(last=True)
    assert (await standing(other))[0] == ("d", True)
    await other.claim(dead=("me",))
    assert granted(await leave(other, line[0], incarnation=None)) == [line[1]]


# parked flows


async def test_a_parked_holder_keeps_its_place(me: Driver, line: list[FlowRef]) -> None:
    assert granted(await me.end(line[0], Status.PARKED, frees=True)) == []
    assert await standing(me) == [("d", True), ("c", False), ("b", False), ("a", False)]


async def test_the_deletion_of_a_parked_holder_gives_its_place_to_the_next(
    me: Driver, other: Driver
) -> None:
    holder, waiting = await me.run("a"), await other.run("b")
    await take(me, holder)
    await take(other, waiting)
    await me.end(holder, Status.PARKED)
    assert await me.store.delete_flow("t", "a")
    assert await standing(me) == [("b", True)]
    assert await me.inbox(waiting) == ("~lock",)
    assert (await me.store.poll("other", ["t"], [])).moved == (waiting.number,)


async def test_a_parked_flow_that_waits_holds_nobody_up(me: Driver, line: list[FlowRef]) -> None:
    await me.end(line[1], Status.PARKED)
    assert granted(await leave(me, line[0])) == [line[2]]
    assert await me.inbox(line[1]) == ()
    assert await standing(me) == [("b", True), ("c", False), ("a", False)]


@pytest.mark.parametrize("verb", ["amend", "mend"])
async def test_a_parked_flow_that_lives_again_has_kept_its_turn(
    me: Driver, line: list[FlowRef], verb: str
) -> None:
    await me.end(line[1], Status.PARKED, mendable=True)
    await leave(me, line[0])
    await leave(me, line[2])
    await leave(me, line[3])
    await take(me, line[0], key="~second")
    assert await standing(me) == [("d", True), ("c", False)]

    async def revive() -> None:
        if verb == "mend":
            assert await me.store.mend(["t"]) == 1
        else:
            version = (await me.view("c")).version
            assert await me.store.amend(line[1].number, version, Amendment(restarts=True))

    await revive()
    assert await me.inbox(line[1]) == (), "the place is taken"
    assert granted(await leave(me, line[0])) == [line[1]]


@pytest.mark.parametrize("verb", ["amend", "mend"])
async def test_a_place_that_became_free_meanwhile_is_held_at_once(
    me: Driver, line: list[FlowRef], verb: str
) -> None:
    for flow in line[1:]:
        await me.end(flow, Status.PARKED, mendable=True)
    await leave(me, line[0])
    assert [holds for _, holds in await standing(me)] == [False, False, False]
    if verb == "mend":
        assert await me.store.mend(["t"]) == 3
    else:
        version = (await me.view("c")).version
        assert await me.store.amend(line[1].number, version, Amendment(restarts=True))
    assert await standing(me) == [("c", True), ("b", False), ("a", False)]
    assert await me.inbox(line[1]) == ("~lock",)


# in one batch


async def test_several_may_queue_up_in_one_batch(me: Driver) -> None:
    flows = [await me.run(name) for name in "abc"]
    receipt = await me.commit(changes=tuple(TakePlace(flow, 1, "q", "~lock", 2) for flow in flows))
    assert [isinstance(one, Changed) and granted(one) for one in receipt.changed] == [
        [flows[0]],
        [flows[1]],
        [],
    ]


async def test_one_may_leave_as_another_comes(me: Driver, line: list[FlowRef]) -> None:
    late = await me.run("late")
    receipt = await me.commit(
        changes=(LeavePlace(line[0], 1, "q"), TakePlace(late, 1, "q", "~lock", 1))
    )
    left, took = receipt.changed
    assert isinstance(left, Changed)
    assert isinstance(took, Changed)
    assert (granted(left), granted(took)) == ([line[1]], [])


async def test_a_grant_after_a_message_has_the_next_position(me: Driver) -> None:
    flow = await me.run("f")
    receipt = await me.commit(
        changes=(Append("t", "f", (note("a"),)), TakePlace(flow, 1, "q", "~lock", 1))
    )
    took = receipt.changed[1]
    assert isinstance(took, Changed)
    assert took.granted[0][0].positions == (2,)


async def test_a_long_queue_is_served_one_by_one(me: Driver) -> None:
    flows = [await me.run(f"f{number}") for number in range(200)]
    await me.commit(changes=tuple(TakePlace(flow, 1, "q", "~lock", 3) for flow in flows))
    served: list[FlowRef | None] = list(flows[:3])
    for flow in flows:
        served += granted(await leave(me, flow))
    assert served == flows
    assert await standing(me) == []


@pytest.mark.parametrize("queue", ["", "'; --", "%", "straße", "👩‍👩‍👧‍👦", "\n"])
async def test_a_hostile_name_is_a_name(me: Driver, queue: str) -> None:
    first, second = await me.run("a"), await me.run("b")
    assert granted(await take(me, first, queue=queue)) == [first]
    assert granted(await take(me, second, queue=queue)) == []
    assert granted(await leave(me, first, queue=queue)) == [second]
    assert await standing(me, queue) == [("b", True)]


@pytest.mark.parametrize("forgotten", ["lock:x", "saga"])
async def test_who_forgets_the_effect_leaves_the_queue(me: Driver, forgotten: str) -> None:
    """An operator removes it: the flow queues up anew, and the next one need not wait for it."""
    key = f"{forgotten}/lock:x" if forgotten == "saga" else forgotten
    holder, other, waiting = [await me.run(name) for name in "abc"]
    await take(me, holder, key=f"~1:{key}")
    await take(me, holder, key="~1:lock:y", queue="r")
    await take(me, other, key="~1:lock:y", queue="r")
    await take(me, waiting)
    await me.change(End(holder, 1, Status.PARKED, error="{}"))
    view = await me.view("a")
    assert await me.store.amend(holder.number, view.version, Amendment(forgets=(forgotten,)))
    assert await standing(me) == [("c", True)]
    assert await standing(me, "r") == [("a", True), ("b", False)]
