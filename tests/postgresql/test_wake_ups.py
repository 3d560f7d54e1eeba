"""Wake-ups between processes, with them and without; a pooler in between."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from tests.postgresql.faults import Fault, Where
from tests.postgresql.pooler import Pooler
from tests.postgresql.proxy import Proxy
from tests.postgresql.test_networks_that_fail import DONE, World
from tests.services import Database, with_options
from unbroken import Unbroken, flow, message

# Far longer than any test: what is found before was not found by a poll.
SELDOM = timedelta(minutes=10)
OFTEN = timedelta(milliseconds=100)
AT_ONCE = timedelta(0)
NOTIFY = "pg_notify"

pytestmark = pytest.mark.timeout(600)


@flow
async def patient(name: str) -> str:
    return f"{await message(str, suspend_after=AT_ONCE)} for {name}"


async def until_asleep(database: Database, id: str) -> None:
    """Wait until a flow has left memory."""
    asleep = "SELECT 1 FROM unbroken_flows WHERE id = %s AND owner IS NULL AND due_at IS NULL"
    while not database.run(asleep, id):  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.005)


async def send_across(sender: str, receiver: str, database: Database, poll: timedelta) -> str:
    """Wake a flow that sleeps, from an app that does not run it; both wait for a wake-up."""
    client = Unbroken(sender, execute=False, poll_interval=poll)
    running = Unbroken(receiver, poll_interval=poll)
    for_sender, _ = client.register(patient), running.register(patient)
    async with running, client:
        scheduled = await for_sender.schedule("one", "me")
        await until_asleep(database, "one")
        await for_sender.send_message("one", "news")
        return await scheduled.completion()


async def test_a_message_and_a_completion_wake_other_processes(
    postgresql: Database, postgresql_url: str
) -> None:
    answer = await send_across(postgresql_url, postgresql_url, postgresql, SELDOM)
    assert answer == "news for me"


@pytest.mark.parametrize("options", [{"notify": "off"}, {"pooler": "transaction"}])
async def test_without_notifications_polls_find_everything(
    proxy: Proxy, postgresql: Database, options: dict[str, str]
) -> None:
    url = with_options(proxy.url, **options)
    assert await send_across(url, url, postgresql, OFTEN) == "news for me"
    assert not any(NOTIFY in text or "LISTEN" in text for text in proxy.statements)


async def test_through_a_pooler_everything_works(pooler: Pooler, postgresql: Database) -> None:
    url = with_options(pooler.url, pooler="transaction")
    async with AsyncExitStack() as apps:
        worlds = [World(url, poll_interval=OFTEN) for _ in range(3)]
        for one in worlds:
            await apps.enter_async_context(one.app)
            one.gate.set()
        ids = [str(number) for number in range(20)]
        ended = [(await worlds[0].orders.schedule(id, id)).completion() for id in ids]
        assert await asyncio.gather(*ended) == [DONE] * len(ids)
        begun = worlds[0].begun + worlds[1].begun + worlds[2].begun
        assert len(begun) == 3 * len(ids)
        assert set(begun.values()) == {1}
        for one in worlds:
            assert one.told("engine.part_failed") == []
    assert postgresql.run("SELECT count(*) FROM unbroken_replicas") == [(0,)]


async def test_through_a_pooler_an_address_to_listen_at_brings_wake_ups(
    pooler: Pooler, postgresql: Database
) -> None:
    url = with_options(pooler.url, pooler="transaction", listen_url=postgresql.url)
    assert await send_across(url, url, postgresql, SELDOM) == "news for me"


async def test_one_connection_listens_and_a_batch_tells_at_most_once(
    proxy: Proxy, postgresql: Database
) -> None:
    world = World(proxy.url)
    world.gate.set()
    async with world.app:
        proxy.statements.clear()
        ended = [(await world.orders.schedule(str(n), "x")).completion() for n in range(20)]
        await asyncio.gather(*ended)
        listening = postgresql.run(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND (query LIKE 'LISTEN%' OR query LIKE '%pg_notify%')"
            " AND pid <> pg_backend_pid()"
        )
        told = sum(count for text, count in proxy.statements.items() if NOTIFY in text)
        batches = sum(count for text, count in proxy.statements.items() if "_fences" in text)
    assert listening == [(1,)]
    assert 0 < told <= batches


async def test_who_listens_again_after_a_cut_looks_for_what_was_missed(
    proxy: Proxy, postgresql: Database
) -> None:
    client = Unbroken(postgresql.url, execute=False, poll_interval=SELDOM)
    running = Unbroken(proxy.url, poll_interval=SELDOM)
    for_sender, _ = client.register(patient), running.register(patient)
    async with running, client:
        scheduled = await for_sender.schedule("one", "me")
        await until_asleep(postgresql, "one")
        listened = proxy.statements['LISTEN "unbroken_wake"']
        proxy.strike(Fault(Where.REQUEST_HELD, "LISTEN"))
        proxy.cut()
        await asyncio.to_thread(proxy.wait_for, lambda: proxy.strikes)
        await for_sender.send_message("one", "news")
        proxy.release()
        assert await scheduled.completion() == "news for me"
        assert proxy.statements['LISTEN "unbroken_wake"'] == listened + 1
