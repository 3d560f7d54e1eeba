"""The demonstration keeps its word: what it claims on the terminal is what happened."""

import re
import sqlite3
import time
from contextlib import closing

import pytest

from tests.programs import Launcher

pytestmark = pytest.mark.crash

LEDGER_LINE = re.compile(r"  (\w+) +(at least once|at most once) +(\d+)  ([ABC, ]+?)(   .*)?")


def test_demo_tells_what_happened(start: Launcher) -> None:
    began = time.monotonic()
    lines = start("demo", str(start.folder)).finish()
    assert time.monotonic() - began < 30
    assert lines[-1] == "Every promise was kept."
    assert "\n".join(lines).isascii()
    assert "\033" not in "\n".join(lines)
    calls = [line.split()[:2] for line in start.lines_of("calls.txt")]
    check_ledger(lines, calls)
    check_kills(lines, calls)
    with closing(sqlite3.connect(start.folder / "demo.db")) as database:
        rows = database.execute("SELECT id, status, result FROM flows").fetchall()
    check_journal(lines, rows)


def check_ledger(lines: list[str], calls: list[list[str]]) -> None:
    """Each line of the ledger is what the outside world noted, and what was promised."""
    claimed = [found.groups() for line in lines if (found := LEDGER_LINE.fullmatch(line))]
    assert [what for what, *_ in claimed] == ["reserve", "ship", "take", "write"]
    for what, promise, made, by, _ in claimed:
        callers = [name for name, called in calls if called == what]
        assert by.split(", ") == callers
        assert int(made) == len(callers)
        assert len(callers) == (2 if what == "take" else 1)
        assert promise == ("at most once" if what == "ship" else "at least once")


def check_kills(lines: list[str], calls: list[list[str]]) -> None:
    """Two processes that were running were killed, and each was followed by another one."""
    text = "\n".join(lines)
    running = next(line for line in lines if "running: " in line)
    pids = dict(re.findall(r"([ABC]) \(pid (\d+)\)", running))
    assert len(set(pids.values())) == 3
    killed = re.findall(r"kill -9 ([ABC]) \(pid (\d+)\)", text)
    assert [pids[name] for name, _ in killed] == [pid for _, pid in killed]
    heirs = re.findall(r"([ABC]) has taken over", text)
    assert [name for name, _ in killed] == [calls[0][0], heirs[0]]
    assert {name for name, _ in killed} | {heirs[1]} == {"A", "B", "C"}
    (takeover,) = re.findall(r"  ([\d.]+) s from the last kill to the next call", text)
    assert f"{heirs[1]} has taken over, {takeover} s after the kill" in text
    assert float(takeover) < 22  # the lease and two seconds, where the system tells no deaths


def check_journal(lines: list[str], rows: list[tuple[str, str, str]]) -> None:
    """What it showed as remembered was used by every later call, and the order has ended."""
    remembered = next(line.split()[-1] for line in lines if line.startswith(" " * 11 + "uuid4"))
    payments = {line.split()[-1] for line in lines if re.search(r" s  [ABC] .* payment ", line)}
    assert payments == {remembered.strip('"')}
    assert rows == [("MK-1", "done", '"TRACK-1"')]
