"""The WAL: who writes and checkpoints, how far it grows, and how other processes hear of writes."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.stores.clock import FakeClock
from tests.stores.driver import Driver, effect
from tests.stores.sqlite.conftest import Opening
from unbroken.model.errors import StoreUnavailable
from unbroken.model.records import Reply, Status
from unbroken.stores.batch import Also, Publish
from unbroken.stores.sqlite import connection
from unbroken.stores.sqlite.bus import GLANCE
from unbroken.stores.sqlite.lock import WriterLock
from unbroken.stores.sqlite.schema import has_wal_reset_bug
from unbroken.stores.sqlite.store import SqliteStore
from unbroken.stores.store import Amendment

LIMIT = 200_000


def size_of_wal(path: str) -> int:
    return Path(f"{path}-wal").stat().st_size


async def setting(store: SqliteStore, which: str, name: str) -> object:
    lane, session = (
        (store._writes, store._writer) if which == "writer" else (store._reads, store._reader)
    )
    return await lane.run(lambda: session.open().execute(f"PRAGMA {name}").fetchone()[0])


async def test_a_commit_survives_power_loss(open_file: Opening) -> None:
    store = await open_file()
    assert await setting(store, "writer", "journal_mode") == "wal"
    assert await setting(store, "writer", "synchronous") == 2
    assert "power loss" in store.durability


async def test_only_the_writer_may_write_and_nothing_checkpoints_by_itself(
    open_file: Opening,
) -> None:
    store = await open_file()
    assert await setting(store, "reader", "query_only") == 1
    for which in ("writer", "reader"):
        assert await setting(store, which, "wal_autocheckpoint") == 0


@pytest.fixture
async def small(open_file: Opening, monkeypatch: pytest.MonkeyPatch) -> tuple[SqliteStore, Driver]:
    """A store that lets its WAL grow to 200 kB."""
    monkeypatch.setattr(connection, "WAL_LIMIT", LIMIT)
    writer = (*connection.WRITER[:-1], f"PRAGMA journal_size_limit = {LIMIT}")
    monkeypatch.setattr("unbroken.stores.sqlite.store.WRITER", writer)
    monkeypatch.setattr(connection, "WRITER", writer)
    store = await open_file()
    await store.register("me")
    return store, Driver(store, "me")


async def write_pages(me: Driver, count: int) -> None:
    flow = await me.run(f"flow {me.number}")
    for number in range(count):
        await me.record(effect(flow, f"e{number}", "x" * 4000))


async def test_the_wal_is_checkpointed_and_stays_small(
    small: tuple[SqliteStore, Driver], path: str
) -> None:
    store, me = small
    await write_pages(me, 400)
    await setting(store, "writer", "user_version")  # behind the last checkpoint
    assert size_of_wal(path) < 2 * LIMIT
    assert Path(path).stat().st_size > 1_000_000, "pages went into the database"


async def test_a_reader_that_stays_holds_the_wal_and_its_end_frees_it(
    small: tuple[SqliteStore, Driver], path: str
) -> None:
    store, me = small
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM flows").fetchone()
    await write_pages(me, 200)
    assert size_of_wal(path) > 4 * LIMIT
    reader.execute("COMMIT")
    reader.close()
    await write_pages(me, 200)
    await setting(store, "writer", "user_version")
    assert size_of_wal(path) < 2 * LIMIT


async def test_no_checkpoint_runs_while_another_process_may_write(
    small: tuple[SqliteStore, Driver], path: str
) -> None:
    store, me = small
    await write_pages(me, 10)
    statements: list[str] = []
    store._writer.open().set_trace_callback(statements.append)
    other = WriterLock(path, 0)
    other.open()
    store._lock._patience = 0.02
    store._writer._checkpoint_at = 0
    connection.WAL_LIMIT = 0  # the fixture puts it back
    with other:
        await store._writes.run(store._writer.checkpoint)
        assert statements == []
    store._writer._checkpoint_at = 0
    await store._writes.run(store._writer.checkpoint)
    assert any("wal_checkpoint(PASSIVE)" in statement for statement in statements)
    other.close()


async def test_the_files_beside_the_database_go_but_for_the_lock(
    open_file: Opening, path: str, tmp_path: Path
) -> None:
    store = await open_file()
    await store.register("me")
    await store.close()
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["test.db", "test.db-lock"]


def test_the_lock_is_exclusive_and_given_back(path: str) -> None:
    first, second = WriterLock(path, 0.01), WriterLock(path, 0.01)
    first.open()
    second.open()
    with first, pytest.raises(StoreUnavailable, match="held"), second:
        pass
    with second:
        pass
    first.close()
    second.close()


def test_a_process_that_dies_gives_the_lock_back(path: str) -> None:
    script = (
        "import sys\n"
        "from unbroken.stores.sqlite.lock import WriterLock\n"
        "lock = WriterLock(sys.argv[1], 0)\n"
        "lock.open()\n"
        "lock.__enter__()\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    lock = WriterLock(path, 0)
    lock.open()
    with pytest.raises(StoreUnavailable), lock:
        pass
    holder.kill()
    holder.communicate()
    with lock:
        pass
    lock.close()


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
        ((3, 54, 1), False),
    ],
)
def test_versions_with_the_wal_reset_bug_are_known(
    version: tuple[int, int, int], affected: bool
) -> None:
    assert has_wal_reset_bug(version) is affected


@pytest.mark.parametrize(("version", "warnings"), [((3, 51, 2), 1), ((3, 51, 3), 0)])
async def test_an_affected_version_is_warned_of_once(
    open_file: Opening,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    version: tuple[int, int, int],
    warnings: int,
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    with caplog.at_level(logging.INFO, logger="unbroken.store"):
        await open_file()
    assert len([record for record in caplog.records if "WAL-reset" in record.message]) == warnings


def _nothing() -> None: ...


class Listener:
    """Listens on a store's bus."""

    def __init__(self, store: SqliteStore, clock: FakeClock) -> None:
        self.store = store
        self._clock = clock
        self._calls = 0
        self._listening = asyncio.create_task(store.bus().listen(self._wake, _nothing))

    def _wake(self) -> None:
        self._calls += 1

    async def count(self) -> int:
        """Say how often the bus woke since the last count."""
        for _ in range(4):
            await self._clock.advance(GLANCE)
        heard, self._calls = self._calls, 0
        return heard

    def stop(self) -> None:
        self._listening.cancel()


@pytest.fixture
async def listener(open_file: Opening, clock: FakeClock) -> AsyncIterator[Listener]:
    listening = Listener(await open_file(), clock)
    await listening.count()
    yield listening
    listening.stop()


async def test_the_bus_hears_what_another_process_writes_and_not_its_own(
    listener: Listener, open_file: Opening
) -> None:
    other = await open_file()
    await listener.store.register("mine")
    await other.register("theirs")
    mine, theirs = Driver(listener.store, "mine"), Driver(other, "theirs")
    await listener.count()
    flow = await mine.run("f")
    await mine.record(effect(flow, "e"))
    assert await listener.count() == 0, "own writes"
    await theirs.send("f", "hello")
    assert await listener.count() == 1
    assert await listener.count() == 0, "once"
    await theirs.start("due")
    await mine.start("own, in the same glance")
    assert await listener.count() == 1


async def test_the_bus_keeps_quiet_about_what_concerns_nobody_else(
    listener: Listener, open_file: Opening
) -> None:
    other = await open_file()
    await other.register("theirs")
    theirs = Driver(other, "theirs")
    flow = await theirs.run("f")
    await listener.count()
    await theirs.record(effect(flow, "e"))
    await theirs.record(effect(flow, "loop", also=Also(drops=("e",))))
    await theirs.commit(states=(Publish(flow.number, 1, "1", None),))
    await other.beat("theirs")
    await theirs.claim()
    assert await listener.count() == 0


async def test_the_bus_hears_what_somebody_may_wait_for(
    listener: Listener, open_file: Opening
) -> None:
    other = await open_file()
    await other.register("theirs")
    theirs = Driver(other, "theirs")
    flow = await theirs.run("f")
    await theirs.send("f", "question")
    await listener.count()
    rare = Also(replies_to=1, reply=Reply("1"))
    await theirs.record(effect(flow, "unlike"), effect(flow, "reply", also=rare))
    assert await listener.count() == 1, "a reply"
    await theirs.end(flow, Status.PARKED, mendable=True)
    await listener.count()
    assert await other.mend(["t"]) == 1
    assert await listener.count() == 1, "what is mended is due"
    view = await theirs.view("f")
    assert await other.amend(flow.number, view.version, Amendment(restarts=True))
    assert await listener.count() == 1, "what is restarted is due"


async def test_the_bus_hears_a_stranger(listener: Listener, path: str) -> None:
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("INSERT INTO replicas VALUES ('stranger', 0, 0, 0, 0)")
    assert await listener.count() == 1
    stranger.close()


HAMMER = """
import asyncio, sys
from unbroken.model.clock import SystemClock
from unbroken.model.records import Effect, Kind
from unbroken.stores.batch import Batch, Record, Start
from unbroken.stores.sqlite import connection, store as module

connection.WAL_LIMIT = 100_000
connection.WRITER = module.WRITER = (*connection.WRITER[:-1], "PRAGMA journal_size_limit = 100000")

async def main(path, name, count):
    store = module.SqliteStore(path, clock=SystemClock())
    await store.open()
    await store.register(name)
    start = Start("t", name, "{}", owned=True)
    receipt = await store.commit(Batch(name, 0, 1, starts=(start,)))
    flow = receipt.started[0].flow.number
    for number in range(int(count)):
        record = Record(flow, 1, Effect(f"e{number}", Kind.CAPTURE, name * 300))
        receipt = await store.commit(Batch(name, 0, number + 2, records=(record,)))
        assert receipt is not None and not receipt.refused
        assert len((await store.load(name, (flow,)))[0].effects) == number + 1
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


def test_processes_that_write_and_checkpoint_together_lose_nothing(path: str) -> None:
    count, names = 150, ["alpha", "beta", "gamma"]
    hammers = [
        subprocess.Popen(
            [sys.executable, "-c", HAMMER, path, name, str(count)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    complaints = [hammer.communicate()[1] for hammer in hammers]
    assert [hammer.returncode for hammer in hammers] == [0, 0, 0], complaints
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert raw.execute("SELECT count(*) FROM effects").fetchone() == (count * len(names),)
    raw.close()
