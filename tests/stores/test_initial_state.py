"""What a flow may start with: effects, messages, a code version, a depth; and its former names."""

import pytest

from tests.stores.conftest import Door
from tests.stores.driver import Driver, effect, note
from unbroken.model.errors import BatchRefused
from unbroken.model.records import Delivery, Effect, Kind, Message, Parent, Status
from unbroken.stores.batch import Answer, Start

EFFECTS = (
    Effect("a", Kind.CAPTURE, "1", "int", digest=7),
    Effect("b", Kind.CAPTURE, "error", failed=True),
    Effect("c.begun", Kind.BEGUN, "null"),
)


async def test_effects_are_there_before_the_first_line_runs(me: Driver) -> None:
    await me.start("f", effects=EFFECTS)
    (claimed,) = (await me.claim()).claimed
    assert claimed.effects == EFFECTS


async def test_effects_of_an_owned_start_are_there_and_taken(me: Driver) -> None:
    flow = await me.run("f", effects=EFFECTS)
    assert await me.store.read_effects(flow.number) == EFFECTS
    assert await me.record(effect(flow, "a"), effect(flow, "new")) == {0}


async def test_of_effects_with_equal_keys_the_first_one_counts(me: Driver) -> None:
    twice = (Effect("a", Kind.CAPTURE, "1"), Effect("a", Kind.CAPTURE, "2"))
    flow = await me.run("f", effects=twice)
    assert await me.store.read_effects(flow.number) == twice[:1]


async def test_effects_given_are_no_progress(me: Driver, other: Driver, door: Door) -> None:
    """A flow that takes its process down before it records anything is a suspect."""
    await me.run("f", effects=EFFECTS)
    door.delete_replica("me")
    (claimed,) = (await other.claim(dead=("me",))).claimed
    assert claimed.crashes == 1
    await other.store.register("third")
    door.delete_replica("other")
    third = Driver(other.store, "third")
    (claimed,) = (await third.claim(dead=("other",))).claimed
    assert claimed.crashes == 2


@pytest.mark.parametrize("owned", [False, True])
async def test_messages_are_there_from_position_one(me: Driver, owned: bool) -> None:
    notes = (note("b", "1"), note("a", "2"), note("b", "3"), note("c", "4"))
    started = await me.start("f", owned=owned, messages=notes)
    inbox = await me.store.read_inbox(started.flow.number)
    assert inbox is not None
    assert inbox.counter == 4, "each one counts, duplicates too"
    view = await me.view("f")
    assert inbox.messages == tuple(
        Message(position, key, "Note", body, view.created_at)
        for position, key, body in [(1, "b", "1"), (2, "a", "2"), (4, "c", "4")]
    )
    assert (await me.send("f", "c", "d")).deliveries == (Delivery.DUPLICATE, Delivery.ACCEPTED)


async def test_an_owner_has_seen_what_it_started_with(me: Driver) -> None:
    flow = await me.run("f", messages=(note("a"), note("b")))
    assert (await me.store.poll("me", ["t"], [])).moved == ()
    assert (await me.suspend(flow, seen=0)).answer is Answer.MOVED
    assert (await me.suspend(flow, seen=2)).answer is Answer.ACCEPTED


async def test_a_claim_brings_what_the_flow_started_with(me: Driver) -> None:
    await me.start("f", messages=(note("a"),), code=3, depth=9)
    (claimed,) = (await me.claim()).claimed
    assert [message.key for message in claimed.messages] == ["a"]
    assert (claimed.inbox, claimed.code, claimed.depth, claimed.failures) == (1, 3, 9, 0)
    assert (await me.view("f")).code == 3
    assert await me.store.load("me", (claimed.flow.number,)) == (claimed,)


async def test_a_flow_that_exists_takes_none_of_it(me: Driver) -> None:
    flow = await me.run("f", effects=EFFECTS[:1], messages=(note("a"),), code=1)
    before = await me.view("f")
    again = await me.start("f", effects=EFFECTS, messages=(note("z"),), code=2, depth=2)
    assert not again.created
    assert await me.view("f") == before
    assert await me.inbox(flow) == ("a",)
    assert await me.keys(flow) == ["a"]


async def test_contents_that_no_column_takes_start_nothing(me: Driver) -> None:
    for bad in (
        Start("t", "f", "{}", effects=(Effect("a", Kind.CAPTURE, "\ud800"),)),
        Start("t", "f", "{}", messages=(note("\ud800"),)),
    ):
        with pytest.raises(BatchRefused):
            await me.store.commit(me.batch(starts=(Start("t", "g", "{}"), bad)))
    assert await me.store.find("t", "f") is None
    assert await me.store.find("t", "g") is None


# former names


async def test_a_start_attaches_to_a_flow_under_a_former_name(me: Driver) -> None:
    old = await me.run("f", type="old", param="1")
    started = await me.start("f", type="new", aliases=("older", "old"), param="1", owned=True)
    assert (started.created, started.flow, started.same_param) == (False, old, True)
    assert started.flow.type == "old"
    assert await me.store.find("new", "f") is None
    again = await me.start("f", type="new", aliases=("old",), param="2")
    assert not again.same_param


async def test_a_flow_under_its_present_name_comes_first(me: Driver) -> None:
    await me.run("f", type="old")
    new = await me.run("f", type="new")
    assert (await me.start("f", type="new", aliases=("old",))).flow == new


async def test_a_new_flow_has_its_present_name(me: Driver) -> None:
    await me.run("g", type="old")
    started = await me.start("f", type="new", aliases=("old",))
    assert started.created
    assert started.flow.type == "new"


async def test_a_parent_joins_a_flow_under_its_former_name(me: Driver) -> None:
    parent = Parent(await me.run("p"), "~child")
    await me.run("f", type="old")
    await me.start("f", type="new", aliases=("old",), parent=parent)
    assert (await me.view("f", type="old")).parents == (parent,)


async def test_the_outcome_of_a_flow_under_its_former_name_is_given(me: Driver) -> None:
    old = await me.run("f", type="old")
    await me.end(old, Status.FAILED, error="e")
    outcome = (await me.start("f", type="new", aliases=("old",))).outcome
    assert outcome is not None
    assert (outcome.flow, outcome.status, outcome.error) == (old, Status.FAILED, "e")


async def test_two_starts_in_a_batch_under_both_names_are_one_flow(me: Driver) -> None:
    starts = (Start("old", "f", "{}"), Start("new", "f", "{}", aliases=("old",)))
    first, second = (await me.commit(starts=starts)).started
    assert first.flow == second.flow
    assert (first.created, second.created) == (True, False)
