"""Effects: written once, by the owner's present incarnation only, with what goes along."""

from typing import Any

import pytest

from tests.stores.conftest import Door
from tests.stores.driver import Driver, effect
from unbroken.model.errors import BatchRefused
from unbroken.model.records import Effect, FlowRef, Kind
from unbroken.stores.batch import Record, Start


async def effects(driver: Driver, flow: FlowRef) -> dict[str, Effect]:
    (claimed,) = await driver.store.load(driver.replica, (flow.number,))
    return {one.key: one for one in claimed.effects}


async def test_an_effect_comes_back_as_it_was_written(me: Driver) -> None:
    flow = await me.run("f")
    written = (
        Effect("a", Kind.CAPTURE, '{"x":1}', "int", digest=-(2**63), incarnation=1),
        Effect("b", Kind.ATTEMPT, "error", failed=True, digest=2**63 - 1, incarnation=1),
        Effect("c", "some other kind", "", incarnation=1),
    )
    assert not await me.record(*(Record(flow.number, 1, one) for one in written))
    assert await effects(me, flow) == {one.key: one for one in written}


async def test_the_stored_incarnation_is_the_records(me: Driver) -> None:
    flow = await me.run("f")
    await me.record(Record(flow.number, 1, Effect("a", Kind.CAPTURE, "1", incarnation=99)))
    assert (await effects(me, flow))["a"].incarnation == 1


async def test_a_key_is_written_once(me: Driver) -> None:
    flow = await me.run("f")
    assert await me.record(effect(flow, "a", "1")) == frozenset()
    assert await me.record(effect(flow, "a", "2")) == {0}
    assert (await effects(me, flow))["a"].body == "1"


async def test_refused_records_are_named_by_their_index_and_the_others_written(
    me: Driver, other: Driver
) -> None:
    mine, theirs = await me.run("mine"), await other.run("theirs")
    refused = await me.record(
        effect(mine, "a"),
        effect(theirs, "a"),
        effect(mine, "b", incarnation=2),
        effect(mine, "a"),
        effect(FlowRef(10**6, "t", "absent"), "a"),
        effect(mine, "c"),
    )
    assert refused == {1, 2, 3, 4}
    assert set(await effects(me, mine)) == {"a", "c"}
    assert await effects(other, theirs) == {}


async def test_a_flow_given_back_takes_no_effect(me: Driver) -> None:
    flow = await me.run("f")
    await me.suspend(flow)
    assert await me.record(effect(flow, "a")) == {0}


async def test_an_old_incarnation_takes_no_effect_under_the_same_owner(me: Driver) -> None:
    flow = await me.run("f")
    await me.release(flow)
    await me.claim()
    assert await me.record(effect(flow, "a", incarnation=1)) == {0}
    assert await me.record(effect(flow, "a", incarnation=2)) == frozenset()


async def test_a_message_is_consumed_with_its_effect(me: Driver) -> None:
    flow = await me.run("f")
    (position,) = (await me.send("f", "m")).positions
    await me.record(effect(flow, "wait", consumes=(position,)))
    inbox = await me.store.read_inbox(flow.number)
    assert inbox is not None
    assert (inbox.counter, inbox.messages) == (1, ())


async def test_a_refused_record_consumes_and_clears_nothing(me: Driver) -> None:
    flow = await me.run("f")
    (position,) = (await me.send("f", "m")).positions
    await me.record(effect(flow, "taken"), effect(flow, "taken.1"), effect(flow, "wait.1"))
    refused = await me.record(
        effect(flow, "taken", consumes=(position,), clears=True),
        effect(flow, "wait", consumes=(position,), clears=True, incarnation=2),
        effect(flow, "fine"),
    )
    assert refused == {0, 1}
    inbox = await me.store.read_inbox(flow.number)
    assert inbox is not None
    assert len(inbox.messages) == 1
    assert set(await effects(me, flow)) == {"taken", "taken.1", "wait.1", "fine"}


@pytest.mark.parametrize("beside_a_refused_one", [False, True])
async def test_clears_removes_what_is_beneath_the_key_and_nothing_else(
    me: Driver, beside_a_refused_one: bool
) -> None:
    flow, twin = await me.run("f"), await me.run("twin")
    kept = ("K#2", "K#2.1", "K-", "K0", "KK.1", "k.1", "J.1", "L", "K!", "Ω.K.1")
    gone = ("K.1", "K.a.b", "K/x", "K/0.1", "K.Ω", "K.\U0010ffff", "K..", "K//")
    await me.record(*(effect(flow, key) for key in (*kept, *gone)))
    await me.record(effect(twin, "K.1"))
    records = [effect(flow, "K", clears=True)]
    if beside_a_refused_one:
        records.append(effect(flow, "L"))
    await me.record(*records)
    assert set(await effects(me, flow)) == {"K", *kept}
    assert set(await effects(me, twin)) == {"K.1"}


async def test_what_is_recorded_and_cleared_in_one_batch_is_gone(me: Driver) -> None:
    flow = await me.run("f")
    await me.record(effect(flow, "K.1"), effect(flow, "K.2"), effect(flow, "K", clears=True))
    assert set(await effects(me, flow)) == {"K"}


async def test_a_flow_may_be_started_with_the_effect_that_names_it(me: Driver) -> None:
    flow = await me.run("p")
    receipt = await me.commit(
        starts=(Start("t", "c", "{}"),), records=(effect(flow, "child", '"c"'),)
    )
    assert receipt.started[0].created
    assert receipt.refused == frozenset()


async def test_a_batch_of_a_thousand_flows_effects_lands_whole(me: Driver) -> None:
    starts = tuple(Start("t", f"f{number}", "{}", owned=True) for number in range(1000))
    flows = [started.flow for started in (await me.commit(starts=starts)).started]
    assert await me.record(*(effect(flow, "e", flow.id) for flow in flows)) == frozenset()
    loaded = await me.store.load("me", [flow.number for flow in flows])
    assert [one.effects[0].body for one in loaded] == [flow.id for flow in flows]


@pytest.mark.parametrize(
    "unfit",
    [
        {"body": "lone \ud800 surrogate"},
        {"key": "\udfff"},
        {"digest": 2**63},
        {"digest": -(2**63) - 1},
        {"body": None},
        {"type": object()},
    ],
    ids=["surrogate", "key", "too high", "too low", "missing", "no text"],
)
async def test_contents_that_no_column_takes_refuse_the_batch_whole(
    me: Driver, unfit: dict[str, object], door: Door
) -> None:
    flow = await me.run("f")
    fields: dict[str, Any] = {"key": "bad", "kind": Kind.CAPTURE, "body": "1", **unfit}
    bad = Record(flow.number, 1, Effect(**fields))
    with pytest.raises(BatchRefused):
        await me.store.commit(me.batch(records=(effect(flow, "good"), bad)))
    assert door.count("effects", flow) == 0
    # The number was not used up: the batch goes again without the guilty one.
    assert await me.record(effect(flow, "good")) == frozenset()


async def test_a_refusal_does_not_show_the_contents(me: Driver) -> None:
    flow = await me.run("f")
    with pytest.raises(BatchRefused) as refusal:
        await me.store.commit(me.batch(records=(effect(flow, "a", "secret \ud800"),)))
    assert "secret" not in str(refusal.value)
