"""The schema: made once by whoever comes first, refused if it is newer or somebody else's."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores.driver import Driver, effect
from tests.stores.sqlite.conftest import Opening
from unbroken.model.errors import ConfigurationError, SchemaTooNew, StoreError
from unbroken.stores.batch import Continue
from unbroken.stores.sql import Migration, pending, read_catalogue
from unbroken.stores.sqlite import schema
from unbroken.stores.sqlite.store import SqliteStore
from unbroken.stores.store import Amendment, Question

PROCESSES = 16
OPEN_AND_REGISTER = """
import asyncio, sys
from unbroken.model.clock import SystemClock
from unbroken.stores import open_store

async def main(path, name):
    store = open_store(f"sqlite:///{path}", clock=SystemClock())
    await store.open()
    await store.register(name)
    await store.close()

sys.stdin.readline()
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def raw(path: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def dump(connection: sqlite3.Connection) -> list[tuple[str]]:
    return connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()


async def test_opening_again_changes_nothing(open_file: Opening, raw: sqlite3.Connection) -> None:
    await (await open_file()).close()
    before = dump(raw), raw.execute("SELECT * FROM schema_version").fetchall()
    await (await open_file()).close()
    assert (dump(raw), raw.execute("SELECT * FROM schema_version").fetchall()) == before
    assert [row[0] for row in before[1]] == [one.number for one in schema.MIGRATIONS]


def test_sixteen_processes_may_open_a_fresh_file_together(
    path: str, raw: sqlite3.Connection
) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AND_REGISTER, path, f"r{number}"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    complaints = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES, complaints
    (replicas,) = raw.execute("SELECT count(*) FROM replicas").fetchone()
    assert replicas == PROCESSES
    (applied,) = raw.execute("SELECT count(*) FROM schema_version").fetchone()
    assert applied == len(schema.MIGRATIONS)


async def test_a_newer_schema_is_refused_and_left_alone(
    open_file: Opening, raw: sqlite3.Connection
) -> None:
    await (await open_file()).close()
    raw.execute("INSERT INTO schema_version VALUES (9999, 'from_the_future', 0)")
    before = dump(raw)
    with pytest.raises(SchemaTooNew, match=r"9999.*upgrade"):
        await open_file()
    assert dump(raw) == before


async def test_a_migration_that_fails_leaves_nothing_behind(
    open_file: Opening, raw: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await open_file()).close()
    before = dump(raw)
    bad = Migration(10**6, "bad", ("CREATE TABLE half (x)", "CREATE INDEX half ON flows (oops)"))
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, bad))
    with pytest.raises(StoreError):
        await open_file()
    assert dump(raw) == before


async def test_a_missing_migration_is_applied_once(
    open_file: Opening, raw: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await open_file()).close()
    new = Migration(10**6, "new", ("CREATE TABLE added (x)",))
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, new))
    await (await open_file()).close()
    await (await open_file()).close()
    rows = raw.execute("SELECT name FROM schema_version WHERE number = 1000000").fetchall()
    assert rows == [("new",)]


async def test_tables_of_somebody_else_are_not_touched(
    open_file: Opening, raw: sqlite3.Connection
) -> None:
    raw.execute("CREATE TABLE messages (text)")
    before = dump(raw)
    with pytest.raises(ConfigurationError, match="messages"):
        await open_file()
    assert dump(raw) == before


@pytest.fixture
async def first_version(
    open_file: Opening, monkeypatch: pytest.MonkeyPatch, raw: sqlite3.Connection
) -> None:
    """A file as the first version left it: a waiting flow and one that is done."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        await (await open_file()).close()
    columns = "id, status, due_at, inbox, seen, incarnation, version, cancel, crashes, created_at"
    for row in ("'f', 'live', 1, 2, 2", "'g', 'done', NULL, 0, 0"):
        values = f"{row}, 1, 1, 0, 0, 0, 't', '{{}}', '[]'"
        raw.execute(f"INSERT INTO flows ({columns}, type, param, parents) VALUES ({values})")
    raw.execute("INSERT INTO effects VALUES (1, 'e', 'capture', 0, 'int', '1', 7, 1)")
    raw.execute("INSERT INTO messages VALUES (1, 1, 'm', 'Note', '1', 0, 1)")
    raw.execute("INSERT INTO messages VALUES (1, 2, 'n', 'Note', '2', 0, 0)")


@pytest.mark.usefixtures("first_version")
async def test_what_the_first_version_stored_goes_on(open_file: Opening) -> None:
    store = await open_file()
    await store.register("me")
    me = Driver(store, "me")
    (claimed,) = (await me.claim()).claimed
    assert (claimed.incarnation, claimed.failures, claimed.code, claimed.depth) == (2, 0, 1, 0)
    assert [one.key for one in claimed.effects] == ["e"]
    assert [one.key for one in claimed.messages] == ["n"]
    view = await me.view("f")
    assert (view.cancel, view.error, view.parents) == (False, None, ())
    assert await store.read_reply(Question(1, "m")) is None
    await me.change(Continue(claimed.flow, 2, "{}"))
    assert (await me.send("f", "m", "n")).positions == ()
    done = await me.view("g")
    assert await store.amend(done.flow.number, done.version, Amendment(restarts=True))
    assert [one.flow.id for one in (await me.claim()).claimed] == ["g"]


@pytest.mark.usefixtures("first_version")
@pytest.mark.parametrize("making", ["TABLE States (x)", "VIEW places AS SELECT 1"])
async def test_a_table_of_somebody_else_that_a_later_version_needs_is_not_touched(
    open_file: Opening, raw: sqlite3.Connection, making: str
) -> None:
    raw.execute(f"CREATE {making}")
    before = dump(raw), raw.execute("SELECT * FROM schema_version").fetchall()
    with pytest.raises(ConfigurationError, match=r"(?i)\((states|places)\).*a file of its own"):
        await open_file()
    assert (dump(raw), raw.execute("SELECT * FROM schema_version").fetchall()) == before


async def test_the_database_may_hold_other_tables(
    open_file: Opening, raw: sqlite3.Connection
) -> None:
    raw.execute("CREATE TABLE orders (id)")
    assert await (await open_file()).register("me")


async def test_a_store_that_could_not_be_opened_can_be_opened_later(
    clock: object, path: str, tmp_path: Path
) -> None:
    from tests.stores.clock import FakeClock

    store = SqliteStore(str(tmp_path / "missing" / "test.db"), clock=FakeClock())
    with pytest.raises(StoreError):
        await store.open()
    (tmp_path / "missing").mkdir()
    await store.open()
    await store.register("me")
    await store.close()


async def test_an_older_sqlite_gets_the_tables_without_strict(
    open_file: Opening, raw: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    store = await open_file()
    assert not any("STRICT" in (text or "") for (text,) in dump(raw))
    await store.register("me")
    me = Driver(store, "me")
    assert await me.record(effect(await me.run("f"), "e")) == frozenset()


async def test_a_present_sqlite_gets_strict_tables(
    open_file: Opening, raw: sqlite3.Connection
) -> None:
    await open_file()
    tables = [text for (text,) in dump(raw) if text and text.startswith("CREATE TABLE")]
    ours = [text for text in tables if "sqlite_sequence" not in text]
    assert len(ours) == 8
    assert all(re.search(r"\bSTRICT$", text) for text in ours)


async def test_a_sqlite_without_returning_is_refused(
    open_file: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(ConfigurationError, match=r"3\.35"):
        await open_file()


def test_pending_is_what_comes_after_the_version() -> None:
    one, two = Migration(1, "a", ()), Migration(2, "b", ())
    assert list(pending((one, two), 0)) == [one, two]
    assert list(pending((one, two), 1)) == [two]
    assert list(pending((one, two), 2)) == []
    with pytest.raises(SchemaTooNew):
        pending((one, two), 3)


def test_a_catalogue_is_read_by_name_without_its_comments(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(
        "-- name: one\n-- why\nSELECT 1\n -- more\n , 2;\n\n-- name: two\nSELECT 3;\n"
    )
    (tmp_path / "b.sql").write_text("-- of this file\n-- name: three\nSELECT ':x';\n")
    (tmp_path / "notes.txt").write_text("-- name: four\n")
    catalogue = read_catalogue(tmp_path)
    assert catalogue == {"one": "SELECT 1\n , 2", "two": "SELECT 3", "three": "SELECT ':x'"}


def test_a_name_stands_once_in_a_catalogue(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- name: one\nSELECT 1;\n")
    (tmp_path / "b.sql").write_text("-- name: one\nSELECT 2;\n")
    with pytest.raises(ValueError, match="one stands twice"):
        read_catalogue(tmp_path)
