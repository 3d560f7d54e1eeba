"""Connections that end between COMMIT and its answer: what landed is known, and done once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event as Flag
from threading import Thread

import pytest

from tests.crash.crashing_store import put_before
from tests.postgresql.faults import Fault, Where
from tests.postgresql.proxy import Proxy
from tests.postgresql.witness import WatchingStore, witness_of
from tests.services import Database, with_options
from unbroken import Unbroken, capture, current_flow, effect, flow, message

OF_EACH_KIND = 100
AT_THE_SAME_TIME = 6
# Of the requests that may commit a batch, and of those that find out what became of one.
SHARE, SHARE_OF_SETTLING = 0.4, 0.1
# Longer than the whole test: whoever lost his replica here would have lost it for no reason.
LEASE = timedelta(minutes=10)
# Of a torn message this means all bytes but the last.
ALL = 1 << 30
CHANCES = {
    Where.REQUEST_LOST: 20,
    Where.REQUEST_TORN: 15,
    Where.IN_FLIGHT: 15,
    Where.ANSWER_LOST: 25,
    Where.ANSWER_TORN: 15,
    Where.REQUEST_LATE: 10,
}

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(900)]

begun: Counter[str] = Counter()


async def act(name: str) -> str:
    begun[f"{current_flow().id} {name}"] += 1
    return f"{name}!"


@effect(at_most_once=True)
async def act_once(name: str) -> str:
    return await act(name)


@flow
async def order(name: str) -> list[str]:
    first = await capture("first", act, "first")
    paid = await message(str)
    once = await act_once("once")
    return [first, paid, once, await capture("last", act, "last")]


def share_of(text: str) -> float:
    """How often a request is struck that ends a transaction that writes, or is one."""
    if "SET generation" in text:
        return SHARE_OF_SETTLING
    return SHARE if text.startswith("COMMIT") or "_fences" in text else 0.0


class Weather:
    """Strikes at commits by chance, and lets go of what is late a little later."""

    def __init__(self, proxy: Proxy, seed: int) -> None:
        self._proxy = proxy
        self._chance = random.Random(seed)
        self._is_over = Flag()
        self._releasing = Thread(target=self._release, daemon=True)

    def _choose(self, text: str) -> Fault | None:
        if self._is_over.is_set() or self._chance.random() >= share_of(text):
            return None
        (where,) = self._chance.choices(list(CHANCES), list(CHANCES.values()))
        return Fault(where, passing=self._chance.choice([1, self._chance.randrange(2, 600), ALL]))

    def _release(self) -> None:
        while not self._is_over.wait(0.02):
            self._proxy.release()

    @contextmanager
    def rages(self) -> Iterator[None]:
        self._proxy.choose = self._choose
        self._releasing.start()
        try:
            yield
        finally:
            self._is_over.set()
            self._releasing.join()
            self._proxy.release()


async def drive(app: Unbroken, weather: Weather, enough: Callable[[], bool]) -> list[str]:
    """Use flow after flow, a few at a time, until there was enough; give their ids."""
    orders = app.register(order)
    ids: list[str] = []

    async def one_after_another() -> None:
        while not enough():
            id = f"order-{len(ids)}"
            ids.append(id)
            scheduled = await orders.schedule(id, id)
            await orders.send_message(id, "paid", key="k")
            assert await scheduled.completion() == ["first!", "paid", "once!", "last!"]

    async with app:
        with weather.rages():
            await asyncio.gather(*(one_after_another() for _ in range(AT_THE_SAME_TIME)))
    return ids


async def until_alone(database: Database) -> None:
    """Wait until nobody else is connected any more."""
    others = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    while database.run(others):  # noqa: ASYNC110 - the server knows, and tells nobody
        await asyncio.sleep(0.005)


async def test_a_hundred_of_each_kind_and_none_is_taken_for_the_other(
    proxy: Proxy, postgresql: Database
) -> None:
    begun.clear()
    seed = random.SystemRandom().randrange(2**32)
    weather = Weather(proxy, seed)
    async with Unbroken(postgresql.url):
        pass  # the schema is there
    with witness_of(postgresql) as witness:
        app = Unbroken(with_options(proxy.url, patience=5), lease=LEASE)
        watching = WatchingStore(app._store, witness)
        put_before(app, lambda _: watching)
        names: Counter[str] = Counter()
        app.subscribe(lambda event: names.update([event.name]))

        def enough() -> bool:
            kinds = watching.count(landed=True), watching.count(landed=False)
            return min(kinds) >= OF_EACH_KIND

        ids = await drive(app, weather, enough)
        await until_alone(postgresql)  # what is late has come, too
        landed = witness.landed()

    where = f"seed {seed}, {Counter(strike.where for strike in proxy.strikes)}"
    # None was taken for the other: neither when it was settled nor by what was late.
    assert len(set(landed)) == len(landed), where
    truth = [one.attempt in set(landed) for one in watching.settled]
    assert min(truth.count(True), truth.count(False)) >= OF_EACH_KIND, where
    assert truth == [one.landed for one in watching.settled], where
    assert [one for one in watching.settled if one.written - {one.landed}] == [], where
    # Nobody died: each body began once, and what it gave is stored with everything else.
    acts = ("first", "once", "last")
    assert begun == {f"{id} {name}": 1 for id in ids for name in acts}, where
    assert postgresql.run("SELECT DISTINCT status FROM unbroken_flows") == [("done",)], where
    rows = postgresql.run(
        "SELECT f.id, e.key FROM unbroken_effects e JOIN unbroken_flows f ON f.number = e.flow"
        " WHERE e.kind IN ('capture', 'once')"
    )
    assert len(rows) == len(acts) * len(ids), where
    assert postgresql.run("SELECT count(*) FROM unbroken_messages") == [(len(ids),)], where
    assert names["replica.registered"] == 1, where
    assert names["replica.fenced"] == 0, where
    assert proxy.cancels == 0, where
