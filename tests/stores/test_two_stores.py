"""Two stores on one database, as two processes have them."""

import asyncio

from tests.stores.clock import SECOND, FakeClock
from tests.stores.driver import Driver, effect
from unbroken.model.records import Delivery, Effect, Kind
from unbroken.stores import open_store
from unbroken.stores.batch import Answer, Append, Claim, NewMessage, Record, Start, Started
from unbroken.stores.store import Store

Pair = tuple[Store, Store]


async def drivers(two_stores: Pair) -> tuple[Driver, Driver]:
    for store, name in zip(two_stores, "ab", strict=True):
        await store.register(name)
    return Driver(two_stores[0], "a"), Driver(two_stores[1], "b")


async def test_each_sees_what_the_other_acknowledged(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)
    for number in range(20):
        await a.start(f"a{number}")
        assert await b.store.find("t", f"a{number}") is not None
        await b.start(f"b{number}")
        assert (await a.start(f"b{number}")).created is False


async def test_concurrent_claims_share_nothing(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)
    await a.commit(starts=tuple(Start("t", f"f{number}", "{}") for number in range(60)))

    async def drain(driver: Driver) -> list[str]:
        taken: list[str] = []
        while receipt := (await driver.claim(limit=3)).claimed:
            taken += [claimed.flow.id for claimed in receipt]
        return taken

    left, right = await asyncio.gather(drain(a), drain(b))
    assert len(left) + len(right) == 60
    assert set(left).isdisjoint(right)


async def test_concurrent_starts_of_one_id_make_one_flow(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)

    async def start(driver: Driver) -> list[Started]:
        return [await driver.start(f"f{number}") for number in range(30)]

    for left, right in zip(*await asyncio.gather(start(a), start(b)), strict=True):
        assert left.flow == right.flow
        assert left.created != right.created


async def test_concurrent_sends_of_one_key_make_one_message(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)
    flow = (await a.start("f")).flow

    async def send(driver: Driver) -> list[Delivery]:
        return [(await driver.send("f", f"k{number}")).deliveries[0] for number in range(30)]

    for pair in zip(*await asyncio.gather(send(a), send(b)), strict=True):
        assert sorted(pair) == [Delivery.ACCEPTED, Delivery.DUPLICATE]
    inbox = await b.store.read_inbox(flow.number)
    assert inbox is not None
    assert (inbox.counter, len(inbox.messages)) == (60, 30)


async def test_a_message_from_the_other_side_refuses_the_suspension(two_stores: Pair) -> None:
    a, b = await drivers(two_stores)
    flow = await a.run("f")
    assert (await b.send("f", "m")).owner == "a"
    assert (await a.store.poll("a", ["t"], [])).moved == (flow.number,)
    assert (await a.suspend(flow)).answer is Answer.MOVED


async def test_a_suspension_and_a_message_that_race_never_lose_the_message(
    two_stores: Pair,
) -> None:
    a, b = await drivers(two_stores)
    for number in range(30):
        flow = await a.run(f"f{number}")
        suspended, _ = await asyncio.gather(a.suspend(flow), b.send(flow.id, "m"))
        claimed = (await b.claim()).claimed
        if suspended.answer is Answer.ACCEPTED:
            assert [one.flow for one in claimed] == [flow]
            await b.end(flow, incarnation=2)
        else:
            assert claimed == ()
            await a.end(flow)


async def test_a_batch_of_the_dead_is_fenced_on_its_own_connection(
    two_stores: Pair, clock: FakeClock
) -> None:
    a, b = await drivers(two_stores)
    flow = await a.run("f")
    await clock.advance(21)
    reaped = await b.store.reap("b", 20 * SECOND)
    assert (reaped.removed, reaped.dead) == (1, ("a",))
    (claimed,) = (await b.claim(dead=reaped.dead)).claimed
    assert (claimed.flow, claimed.incarnation) == (flow, 2)
    assert await a.store.commit(a.batch(records=(effect(flow, "late"),))) is None
    assert not await a.store.beat("a")
    assert await a.store.owned("a") == {}


async def test_settling_on_one_connection_stops_a_batch_on_another(two_stores: Pair) -> None:
    """The bytes of a batch outlive its connection and arrive after the settle."""
    a, _ = await drivers(two_stores)
    late = a.batch(starts=(Start("t", "late", "{}"),))
    assert await two_stores[1].settle("a", 1) == 0
    assert await a.store.commit(late) is None
    assert await a.store.find("t", "late") is None


async def test_settling_after_the_batch_says_that_it_landed(two_stores: Pair) -> None:
    a, _ = await drivers(two_stores)
    assert await a.store.commit(a.batch(starts=(Start("t", "f", "{}"),))) is not None
    assert await two_stores[1].settle("a", 1) == 1
    assert await two_stores[1].find("t", "f") is not None


async def test_what_the_dead_wrote_last_comes_with_the_claim(
    two_stores: Pair, clock: FakeClock
) -> None:
    a, b = await drivers(two_stores)
    flow = await a.run("f")
    await clock.advance(21)
    record = Record(flow.number, 1, Effect("last", Kind.CAPTURE, "1"))
    landed, reaped = await asyncio.gather(
        a.store.commit(a.batch(records=(record,))), b.store.reap("b", 20 * SECOND)
    )
    if landed is None:
        (claimed,) = (await b.claim(dead=reaped.dead)).claimed
        assert claimed.effects == ()
    else:
        assert reaped.dead == (), "the batch moved the beat"
        assert (await b.claim(dead=("a",))).claimed == ()


async def test_everything_is_there_after_reopening(shared_url: str, clock: FakeClock) -> None:
    store = open_store(shared_url, clock=clock)
    await store.open()
    await store.register("a")
    a = Driver(store, "a")
    flow = await a.run("f", param="1")
    await a.record(effect(flow, "e"))
    append = Append("t", "f", (NewMessage("m", "Note", "2"),))
    await a.commit(changes=(append,))
    await store.close()
    again = open_store(shared_url, clock=clock)
    await again.open()
    (loaded,) = await again.load("a", (flow.number,))
    assert (loaded.param, loaded.effects[0].key, loaded.messages[0].body) == ("1", "e", "2")
    receipt = await again.commit(a.batch(claim=Claim(("t",), 1)))
    assert receipt is not None, "the replica's row is there too"
    await again.close()


async def test_opening_twice_and_closing_twice_is_harmless(
    shared_url: str, clock: FakeClock
) -> None:
    store = open_store(shared_url, clock=clock)
    await store.close()
    await store.open()
    await store.register("a")
    await store.close()
    await store.close()
    await store.open()
    assert await store.beat("a")
    await store.close()
