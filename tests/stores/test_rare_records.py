"""What a record does beside the usual: effects dropped, messages given back, in the order sent."""

from typing import Any

import pytest

from tests.stores.driver import Driver, effect
from unbroken.model.errors import BatchRefused
from unbroken.model.records import FlowRef
from unbroken.stores.batch import Also, Record


def also(flow: FlowRef, key: str, **rare: Any) -> Record:
    return effect(flow, key, also=Also(**rare))


@pytest.mark.parametrize("beside_a_refused_one", [False, True])
async def test_a_dropped_prefix_takes_what_begins_with_it_and_nothing_else(
    me: Driver, beside_a_refused_one: bool
) -> None:
    flow, twin = await me.run("f"), await me.run("twin")
    gone = ("loop.1", "loop.1/a", "loop.10", "loop.1\U0010ffff", "loop.1 ", "loop.1.begun")
    kept = ("loop", "loop.", "loop.2", "loop.0z", "Loop.1", "z", "Ω")
    await me.record(*(effect(flow, key) for key in (*gone, *kept)))
    await me.record(effect(twin, "loop.1"))
    records = [also(flow, "done", drops=("loop.1",))]
    if beside_a_refused_one:
        records.append(effect(flow, "loop"))
    await me.record(*records)
    assert set(await me.keys(flow)) == {"done", *kept}
    assert await me.keys(twin) == ["loop.1"]


@pytest.mark.parametrize(
    ("prefix", "gone", "kept"),
    [
        (
            "a\U0010ffff",
            ("a\U0010ffff", "a\U0010ffffx", "a\U0010ffff\U0010ffff"),
            ("a", "a\ue000", "b"),
        ),
        ("\U0010ffff", ("\U0010ffff", "\U0010ffff\U0010ffff1"), ("\U0010fffe", "z")),
        ("a\ud7ff", ("a\ud7ff", "a\ud7ffx"), ("a\ue000", "a\ud7fe", "a")),
        ("\x7f", ("\x7f", "\x7fx"), ("~", "\x80")),
        ("é", ("é", "éa"), ("e", "ê", "e\u0301")),
        ("", ("a", "\U0010ffff"), ()),
    ],
    ids=["last behind", "last alone", "before the surrogates", "one byte to two", "accent", "all"],
)
async def test_a_prefix_ends_where_the_next_text_begins(
    me: Driver, prefix: str, gone: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    flow = await me.run("f")
    await me.record(*(effect(flow, key) for key in (*gone, *kept)))
    await me.record(also(flow, "=", drops=(prefix,)))
    assert set(await me.keys(flow)) == {"=", *kept}


async def test_several_prefixes_go_at_once(me: Driver) -> None:
    flow = await me.run("f")
    await me.record(*(effect(flow, key) for key in ("a.1", "b.1", "c.1")))
    await me.record(also(flow, "e", drops=("a", "c")))
    assert await me.keys(flow) == ["b.1", "e"]


async def test_the_record_itself_survives_what_it_drops(me: Driver) -> None:
    flow = await me.run("f")
    await me.record(effect(flow, "loop.progress"), effect(flow, "loop.progress#2"))
    await me.record(also(flow, "loop.progress#3", drops=("loop.progress",)))
    assert await me.keys(flow) == ["loop.progress#3"]


async def test_a_forgotten_key_goes_with_all_beneath_and_nothing_else(me: Driver) -> None:
    flow, twin = await me.run("f"), await me.run("twin")
    gone = ("a", "a.1", "a/x", "a/x.1", "b.begun", "a.\U0010ffff")
    kept = ("a#2", "a#2.1", "aa", "a-", "a0", "A", "c")
    await me.record(*(effect(flow, key) for key in (*gone, *kept)))
    await me.record(effect(twin, "a"))
    await me.record(also(flow, "race", forgets=("a", "b", "never there")))
    assert set(await me.keys(flow)) == {"race", *kept}
    assert await me.keys(twin) == ["a"]


@pytest.mark.parametrize("own", ["race", "race.1", "race/x"])
async def test_the_record_itself_survives_what_it_forgets(me: Driver, own: str) -> None:
    flow = await me.run("f")
    await me.record(effect(flow, "race.2"), effect(flow, "race/y"), effect(flow, "other"))
    await me.record(also(flow, own, forgets=("race",)))
    assert set(await me.keys(flow)) == {own, "other"}


async def test_what_is_recorded_later_in_the_batch_survives_what_came_before_does_not(
    me: Driver,
) -> None:
    flow = await me.run("f")
    await me.record(
        effect(flow, "item.1"), also(flow, "loop", drops=("item",)), effect(flow, "item.2")
    )
    assert await me.keys(flow) == ["item.2", "loop"]


async def test_a_key_that_was_dropped_is_free_again(me: Driver) -> None:
    flow = await me.run("f")
    await me.record(effect(flow, "item", "1"))
    refused = await me.record(also(flow, "loop", drops=("item",)), effect(flow, "item", "2"))
    assert refused == frozenset()
    assert [one.body for one in await me.store.read_effects(flow.number)] == ["2", "1"]


async def test_a_dropped_range_cannot_hide_a_refusal(me: Driver) -> None:
    """A key that is taken refuses the record, even if its own drops would free it."""
    flow = await me.run("f")
    await me.record(effect(flow, "loop", "1"))
    assert await me.record(also(flow, "loop", drops=("loop",))) == {0}
    assert [one.body for one in await me.store.read_effects(flow.number)] == ["1"]


async def test_a_message_given_back_waits_again_in_its_place(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "a", "b", "c")
    await me.record(effect(flow, "loser", consumes=(1, 2)))
    assert await me.inbox(flow) == ("c",)
    await me.record(also(flow, "race", restores=(1, 2)))
    assert await me.inbox(flow) == ("a", "b", "c")
    view = await me.view("f")
    assert view.inbox == 3, "the counter does not move"
    assert (await me.suspend(flow, seen=3)).answer.value == "accepted"


async def test_a_message_may_be_given_back_and_taken_again_in_one_batch(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", "a", "b")
    await me.record(
        effect(flow, "loser", consumes=(1, 2)),
        also(flow, "race", restores=(1, 2)),
        effect(flow, "next", consumes=(1,)),
    )
    assert await me.inbox(flow) == ("b",)


async def test_a_record_may_consume_many_messages(me: Driver) -> None:
    flow = await me.run("f")
    await me.send("f", *(f"m{number}" for number in range(100)))
    await me.record(effect(flow, "stream", consumes=tuple(range(1, 100))))
    assert await me.inbox(flow) == ("m99",)


async def test_a_refused_record_does_none_of_it(me: Driver, other: Driver) -> None:
    flow, theirs = await me.run("f"), await other.run("g")
    await me.send("f", "a")
    await other.send("g", "a")
    await me.record(effect(flow, "taken"), effect(flow, "wait", consumes=(1,)))
    await other.record(effect(theirs, "wait", consumes=(1,)))
    refused = await me.record(
        also(flow, "taken", drops=("wait",), forgets=("wait",), restores=(1,)),
        also(theirs, "mine now", drops=("wait",), restores=(1,)),
        effect(flow, "fine"),
    )
    assert refused == {0, 1}
    assert await me.keys(flow) == ["fine", "taken", "wait"]
    assert await me.keys(theirs) == ["wait"]
    assert await me.inbox(flow) == await me.inbox(theirs) == ()


async def test_rare_records_of_many_flows_share_a_batch(me: Driver) -> None:
    flows = [await me.run(f"f{number}") for number in range(50)]
    await me.record(*(effect(flow, "item.1") for flow in flows))
    await me.record(*(also(flow, "loop.1", drops=("item.",)) for flow in flows))
    for flow in flows:
        assert await me.keys(flow) == ["loop.1"]


async def test_a_prefix_that_no_column_takes_refuses_the_batch_whole(me: Driver) -> None:
    flow = await me.run("f")
    with pytest.raises(BatchRefused):
        await me.store.commit(me.batch(records=(also(flow, "e", drops=("\ud800",)),)))
    assert await me.keys(flow) == []
