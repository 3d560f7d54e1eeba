"""The command: what it prints of a store, and what it says of one that cannot be."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from unbroken import Unbroken
from unbroken.cli import main


def doctor(url: str) -> int:
    return main(["doctor", "--store", url])


def test_a_file_that_is_not_there_is_no_fault_and_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor(f"sqlite:///{tmp_path / 'new.db'}")
    assert "made at the first start" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


async def made(path: Path) -> str:
    url = f"sqlite:///{path}"
    async with Unbroken(url):
        pass
    return url


async def test_a_schema_that_is_up_to_date_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = await made(tmp_path / "some.db")
    await asyncio.to_thread(doctor, url)
    told = capsys.readouterr().out
    assert "up to date" in told
    assert "power loss" in told
    assert "allowed" in told


async def test_a_newer_schema_is_one_line_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = await made(tmp_path / "some.db")
    with sqlite3.connect(tmp_path / "some.db") as database:
        database.execute("INSERT INTO schema_version VALUES (99, 'later', 0)")
    database.close()
    assert await asyncio.to_thread(doctor, url) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "SchemaTooNew" in line
    assert "upgrade Unbroken" in line


def test_what_is_no_database_is_said_to_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "some.db"
    file.write_text("this is no database" * 100)
    assert doctor(f"sqlite:///{file}") == 2
    assert "StoreCorrupt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["mysql://user:canary@host/db", "postgresql://u:canary@h/d?prefix=A"]
)
def test_a_url_that_cannot_be_is_one_line_without_its_password(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(url) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "canary" not in told.err
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "table"),
    [
        ("sqlite://", "CREATE TABLE flows"),
        ("postgresql://h/d", "CREATE TABLE unbroken_flows"),
        ("postgresql://h/d?prefix=shop_", "CREATE TABLE shop_flows"),
    ],
)
def test_the_schema_is_printed_as_sql_without_a_connection(
    url: str, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", "--sql", "--store", url]) == 0
    assert table in capsys.readouterr().out
