"""Errors of SQLite and of its driver: what each means, and that the store goes on after it."""

import fcntl
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.stores.clock import FakeClock
from tests.stores.driver import Driver, effect
from tests.stores.sqlite.conftest import Opening, connecting
from unbroken.model.errors import (
    BatchRefused,
    ConfigurationError,
    OutcomeUnknown,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from unbroken.stores.batch import Start
from unbroken.stores.sqlite.faults import explain
from unbroken.stores.sqlite.store import SqliteStore


def complaint(code: int, name: str = "SQLITE_X") -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("said so")
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error


# Every primary result code: what it means before COMMIT, and when COMMIT raises it.
MEANING: dict[str, tuple[type[StoreError], type[StoreError]]] = {
    "SQLITE_ERROR": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_INTERNAL": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_PERM": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_ABORT": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_BUSY": (StoreUnavailable, StoreUnavailable),
    "SQLITE_LOCKED": (StoreUnavailable, StoreUnavailable),
    "SQLITE_NOMEM": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_READONLY": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_INTERRUPT": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_IOERR": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_CORRUPT": (StoreCorrupt, StoreCorrupt),
    "SQLITE_NOTFOUND": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_FULL": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_CANTOPEN": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_PROTOCOL": (StoreUnavailable, StoreUnavailable),
    "SQLITE_EMPTY": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_SCHEMA": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_TOOBIG": (BatchRefused, OutcomeUnknown),
    "SQLITE_CONSTRAINT": (BatchRefused, OutcomeUnknown),
    "SQLITE_MISMATCH": (BatchRefused, OutcomeUnknown),
    "SQLITE_MISUSE": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_NOLFS": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_AUTH": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_FORMAT": (StoreUnavailable, OutcomeUnknown),
    "SQLITE_RANGE": (BatchRefused, OutcomeUnknown),
    "SQLITE_NOTADB": (StoreCorrupt, StoreCorrupt),
}
NO_ERRORS = ("SQLITE_OK", "SQLITE_NOTICE", "SQLITE_WARNING", "SQLITE_ROW", "SQLITE_DONE")


def result_codes() -> dict[str, int]:
    """Read the driver's own list; authorizer actions and limits share its prefix."""
    exported = {name: getattr(sqlite3, name) for name in dir(sqlite3) if name.startswith("SQLITE_")}
    others = {"SQLITE_DENY", "SQLITE_IGNORE"}
    prefixes = ("SQLITE_CREATE", "SQLITE_DROP", "SQLITE_LIMIT", "SQLITE_DBCONFIG", "SQLITE_ALTER")
    actions = {
        "SQLITE_ANALYZE", "SQLITE_ATTACH", "SQLITE_DELETE", "SQLITE_DETACH", "SQLITE_FUNCTION",
        "SQLITE_INSERT", "SQLITE_PRAGMA", "SQLITE_READ", "SQLITE_RECURSIVE", "SQLITE_REINDEX",
        "SQLITE_SAVEPOINT", "SQLITE_SELECT", "SQLITE_TRANSACTION", "SQLITE_UPDATE",
    }  # fmt: skip
    return {
        name: code
        for name, code in exported.items()
        if isinstance(code, int)
        and name not in others | actions
        and not name.startswith((*prefixes, *NO_ERRORS))
    }


def test_every_result_code_of_the_driver_has_a_meaning() -> None:
    for name, code in result_codes().items():
        before, at = next(
            meaning for known, meaning in MEANING.items() if getattr(sqlite3, known) == code & 0xFF
        )
        assert type(explain(complaint(code, name))) is before, name
        assert type(explain(complaint(code, name), committing=True)) is at, name


def test_the_walk_meets_every_meaning() -> None:
    assert {code & 0xFF for code in result_codes().values()} >= {
        getattr(sqlite3, name) for name in MEANING
    }


@pytest.mark.parametrize(
    "error",
    [
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        OverflowError("Python int too large to convert to SQLite INTEGER"),
        sqlite3.InterfaceError("Error binding parameter 0"),
        sqlite3.ProgrammingError("Error binding parameter 1: type 'object' is not supported"),
    ],
)
def test_a_value_that_cannot_be_bound_refuses_the_batch(error: Exception) -> None:
    assert type(explain(error)) is BatchRefused


@pytest.mark.parametrize("name", ["SQLITE_READONLY", "SQLITE_READONLY_DIRECTORY", "SQLITE_PERM"])
def test_read_only_is_said(name: str) -> None:
    assert "read-only" in str(explain(complaint(getattr(sqlite3, name), name)))


class Faulty(sqlite3.Connection):
    """Raises what the test asks for when it is told to run a statement."""

    at: str | None = None
    error: sqlite3.Error | None = None
    really = False
    opened = 0
    heard: ClassVar[list[str]] = []

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        type(self).opened += 1

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        kind = type(self)
        kind.heard.append(sql)
        if kind.at is not None and sql.startswith(kind.at):
            error, kind.at = kind.error, None
            if kind.really:
                super().execute(sql, *args)
            assert error is not None
            raise error
        return super().execute(sql, *args)


Fail = Callable[..., None]


@pytest.fixture
def faulty() -> type[Faulty]:
    return type("FaultyHere", (Faulty,), {})


@pytest.fixture
def fail(faulty: type[Faulty]) -> Fail:
    def failing(at: str, code: int, *, really: bool = False) -> None:
        faulty.at, faulty.error, faulty.really = at, complaint(code), really

    return failing


@pytest.fixture
async def me(open_file: Opening, faulty: type[Faulty]) -> Driver:
    store = await open_file(connect=connecting(faulty))
    await store.register("me")
    return Driver(store, "me")


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM]
)
async def test_an_error_of_commit_leaves_the_outcome_unknown_until_it_is_settled(
    me: Driver, fail: Fail, code: int, landed: bool, faulty: type[Faulty]
) -> None:
    before = faulty.opened
    batch = me.batch(starts=(Start("t", "f", "{}"),))
    fail("COMMIT", code, really=landed)
    with pytest.raises(OutcomeUnknown):
        await me.store.commit(batch)
    assert await me.store.settle("me", 1) == int(landed)
    assert faulty.opened == before + 1, "the connection is not trusted any more"
    assert (await me.store.find("t", "f") is not None) == landed
    assert await me.store.commit(batch) is None, "settled: it can never land any more"
    me.generation, me.number = 1, int(landed)
    assert (await me.start("f")).created != landed


async def test_a_busy_commit_was_not_applied(me: Driver, fail: Fail) -> None:
    batch = me.batch(starts=(Start("t", "f", "{}"),))
    fail("COMMIT", sqlite3.SQLITE_BUSY)
    with pytest.raises(StoreUnavailable):
        await me.store.commit(batch)
    assert await me.store.find("t", "f") is None
    assert await me.store.commit(batch) is not None


@pytest.mark.parametrize(
    "code",
    [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY],
)
async def test_an_error_before_commit_means_nothing_was_applied(
    me: Driver, fail: Fail, code: int
) -> None:
    fail("BEGIN", code)
    batch = me.batch(starts=(Start("t", "f", "{}"),))
    with pytest.raises(StoreUnavailable):
        await me.store.commit(batch)
    assert await me.store.find("t", "f") is None
    assert await me.store.commit(batch) is not None


async def test_calls_that_may_be_repeated_are_unavailable_instead_of_unknown(
    me: Driver, fail: Fail
) -> None:
    calls = [
        lambda: me.store.register("you"),
        lambda: me.store.beat("me"),
        lambda: me.store.settle("me", 7),
        lambda: me.store.delete_ended(0, 1),
        lambda: me.store.delete_flow("t", "f"),
    ]
    for call in calls:
        fail("COMMIT", sqlite3.SQLITE_IOERR)
        with pytest.raises(StoreUnavailable):
            await call()


async def test_a_damaged_file_is_said(me: Driver, fail: Fail) -> None:
    fail("BEGIN", sqlite3.SQLITE_CORRUPT)
    with pytest.raises(StoreCorrupt):
        await me.commit()
    await me.commit()


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOTADB])
async def test_a_failed_read_does_not_spoil_the_next(me: Driver, fail: Fail, code: int) -> None:
    fail("BEGIN", code)
    with pytest.raises(StoreError):
        await me.store.load("me", [1])
    assert await me.store.load("me", [1]) == ()


async def test_a_file_that_is_no_database_is_corrupt(open_file: Opening, path: str) -> None:
    Path(path).write_bytes(b"certainly not a database" * 100)
    with pytest.raises(StoreCorrupt):
        await open_file()


async def test_a_missing_folder_is_unavailable(clock: FakeClock, tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "missing" / "x.db"), clock=clock)
    with pytest.raises(StoreUnavailable, match="missing"):
        await store.open()


async def test_a_folder_in_place_of_the_file_is_unavailable(
    clock: FakeClock, tmp_path: Path
) -> None:
    store = SqliteStore(str(tmp_path), clock=clock)
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        await store.open()


async def test_a_read_only_file_is_unavailable_and_says_so(
    open_file: Opening, clock: FakeClock, path: str
) -> None:
    await (await open_file()).close()
    read_only = SqliteStore(
        path,
        clock=clock,
        connect=lambda path: sqlite3.connect(
            f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        ),
    )
    with pytest.raises(StoreUnavailable, match="read-only"):
        await read_only.open()


async def test_a_place_that_keeps_no_wal_is_refused(clock: FakeClock, path: str) -> None:
    store = SqliteStore(path, clock=clock, connect=lambda _: connecting()(":memory:"))
    with pytest.raises(ConfigurationError, match="WAL"):
        await store.open()


async def test_a_lock_held_by_another_process_is_waited_for_and_then_unavailable(
    open_file: Opening, path: str
) -> None:
    store = await open_file(patience=0.05)
    await store.register("me")
    holder = os.open(f"{path}-lock", os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(StoreUnavailable, match="another process"):
        await store.beat("me")
    assert await store.find("t", "f") is None, "readers wait for nobody"
    os.close(holder)
    assert await store.beat("me")


async def test_a_strangers_write_lock_is_waited_for_and_then_unavailable(
    open_file: Opening, path: str
) -> None:
    store = await open_file(connect=connecting(timeout=0.05))
    await store.register("me")
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="BUSY"):
        await store.beat("me")
    stranger.execute("ROLLBACK")
    assert await store.beat("me")
    stranger.close()


async def test_a_write_takes_the_lock_before_it_reads(me: Driver, faulty: type[Faulty]) -> None:
    """Else what it read may be old when it writes, and SQLite refuses (BUSY_SNAPSHOT)."""
    statements: list[str] = []
    faulty.heard = statements
    await me.commit()
    await me.store.delete_ended(0, 1)
    assert [statement for statement in statements if statement.startswith("BEGIN")] == [
        "BEGIN IMMEDIATE"
    ] * 2


async def test_a_full_database_refuses_and_goes_on_once_there_is_room(
    open_file: Opening, path: str
) -> None:
    room: list[sqlite3.Connection] = []

    def crowded(path: str) -> sqlite3.Connection:
        connection = connecting()(path)
        room.append(connection)
        return connection

    store = await open_file(connect=crowded)
    await store.register("me")
    me = Driver(store, "me")
    flow = await me.run("f")
    (pages,) = room[0].execute("PRAGMA page_count").fetchone()
    room[0].execute(f"PRAGMA max_page_count = {pages + 2}")
    big = me.batch(records=tuple(effect(flow, f"e{n}", "x" * 4000) for n in range(20)))
    with pytest.raises(StoreUnavailable, match="no space"):
        await store.commit(big)
    assert (await store.load("me", (flow.number,)))[0].effects == ()
    room[0].execute(f"PRAGMA max_page_count = {pages + 1000}")
    assert await store.commit(big) is not None


FILL_THE_DISK = """
import asyncio, resource, signal, sys
from unbroken.model.clock import SystemClock
from unbroken.model.errors import OutcomeUnknown, StoreUnavailable
from unbroken.model.records import Effect, Kind
from unbroken.stores import open_store
from unbroken.stores.batch import Batch, Record, Start

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def main(path):
    store = open_store(f"sqlite:///{path}", clock=SystemClock())
    await store.open()
    await store.register("me")
    await store.commit(Batch("me", 0, 1, starts=(Start("t", "f", "{}", owned=True),)))
    limit(300_000)
    number, complaint = 2, None
    while complaint is None:
        record = Record(1, 1, Effect(f"e{number}", Kind.CAPTURE, "x" * 3000))
        batch = Batch("me", 0, number, records=(record,))
        try:
            assert await store.commit(batch) is not None
            number += 1
        except (OutcomeUnknown, StoreUnavailable) as error:
            complaint = error
    print(type(complaint).__name__)
    limit(resource.RLIM_INFINITY)
    assert await store.settle("me", 1) == number - 1, "a write that failed did not land"
    again = Batch("me", 1, number, records=(record,))
    assert await store.commit(again) is not None
    (loaded,) = await store.load("me", (1,))
    assert len(loaded.effects) == number - 1
    await store.close()
    print("fine")


asyncio.run(main(sys.argv[1]))
"""


def test_a_full_disk_stops_a_commit_and_nothing_is_lost(path: str) -> None:
    """The system refuses to let the WAL grow, in the middle of a COMMIT."""
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, path], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["OutcomeUnknown", "fine"], done.stderr
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
