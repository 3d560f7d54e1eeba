"""Another transaction and a batch wait for each other: the server ends one, and it is run again."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.services import Database
from tests.stores.driver import Driver, note
from unbroken.model.clock import SystemClock
from unbroken.model.records import Delivery, FlowRef
from unbroken.stores import open_store
from unbroken.stores.batch import Append, Appended, Retry, Suspend

WAITS = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"""
LOCKS = "SELECT number FROM unbroken_flows WHERE number = %s FOR UPDATE"


@contextmanager
def crossing(database: Database, first: FlowRef, second: FlowRef) -> Iterator[None]:
    """Lock the second flow, and the first one as soon as somebody waits: a circle, if he has it.

    It is patient itself, so that the server ends the other one.
    """
    holds = threading.Event()

    def cross() -> None:
        with psycopg.connect(database.url) as other:
            other.execute("SET deadlock_timeout = '60s'")
            other.execute(LOCKS, (second.number,))
            holds.set()
            while not database.run(WAITS)[0][0]:
                time.sleep(0)
            other.execute(LOCKS, (first.number,))

    thread = threading.Thread(target=cross)
    thread.start()
    holds.wait()
    yield
    thread.join()


async def two_flows(url: str) -> tuple[Driver, FlowRef, FlowRef]:
    store = open_store(url, clock=SystemClock())
    await store.open()
    await store.register("me")
    me = Driver(store, "me")
    return me, await me.run("a"), await me.run("b")


async def test_a_batch_in_one_statement_is_run_again_whole(
    postgresql: Database, postgresql_url: str
) -> None:
    me, first, second = await two_flows(postgresql_url)
    appends = tuple(Append("t", flow.id, (note("m"),)) for flow in (first, second))
    with crossing(postgresql, first, second):
        receipt = await me.commit(changes=appends)
    for answer in receipt.changed:
        assert isinstance(answer, Appended)
        assert answer.deliveries == (Delivery.ACCEPTED,)
    assert postgresql.run("SELECT count(*) FROM unbroken_messages") == [(2,)]
    assert postgresql.run("SELECT array_agg(inbox) FROM unbroken_flows") == [([1, 1],)]
    await me.store.close()


async def test_a_batch_of_several_statements_is_run_again_whole(
    postgresql: Database, postgresql_url: str
) -> None:
    me, first, second = await two_flows(postgresql_url)
    retried = Retry(first, 1, "{}", due_at=0)
    suspended = Suspend(second, 1, 0, None)
    with crossing(postgresql, first, second):
        await me.commit(changes=(retried, suspended))
    owners = postgresql.run("SELECT owner, failures FROM unbroken_flows ORDER BY number")
    assert owners == [(None, 1), (None, 0)]
    await me.store.close()


async def test_what_the_server_undid_for_others_is_not_taken_for_refused(
    postgresql: Database, postgresql_url: str
) -> None:
    """Two processes that append to the same flows in any order: nothing fails, nothing is lost."""
    me, *_ = await two_flows(postgresql_url)
    await me.store.register("you")
    you = Driver(open_store(postgresql_url, clock=SystemClock()), "you")
    await you.store.open()
    for number in range(10):
        await me.run(f"f{number}")

    async def send(driver: Driver, order: int) -> None:
        for turn in range(20):
            ids = range(10)[::order]
            key = f"{driver.replica}{turn}"
            await driver.commit(changes=tuple(Append("t", f"f{n}", (note(key),)) for n in ids))

    await asyncio.gather(send(me, 1), send(you, -1))
    assert postgresql.run("SELECT count(*) FROM unbroken_messages") == [(400,)]
    await me.store.close()
    await you.store.close()
