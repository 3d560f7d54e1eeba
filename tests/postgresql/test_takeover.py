"""A process is killed with a thousand flows in flight: another one has them soon, and rightly."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import ledger
from tests.crash.bodies import INTERRUPTED
from tests.postgresql.conftest import processes_on
from tests.postgresql.standing import Crowd
from tests.postgresql.starvation import Starvation
from tests.services import Database

LEASE = 3.0
MARGIN = 2.0
# Where the flows stand at the kill, how many, and how they end.
PLACES = {
    "before": (300, "before!!"),
    "before, once": (300, "before, once!!"),
    "within": (90, "within!!"),
    "within, once": (290, INTERRUPTED),
    "writing": (20, "writing!!"),
}
FLOWS = 1_000
# What a busy machine needs to run the first lines of a thousand flows.
PATIENCE = 120.0

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def crowd(postgresql: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    with processes_on(postgresql.url, tmp_path, monkeypatch, Crowd) as started:
        started.lease = LEASE
        yield started


class Counting:
    """Counts lines of the ledger as they come; to read them all each time takes a processor."""

    def __init__(self, path: Path, pattern: str) -> None:
        self._path = path
        self._pattern = re.compile(pattern.encode())
        self._read = 0
        self._count = 0

    def has_reached(self, count: int) -> bool:
        """Whether there are so many lines by now that match."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read += len(whole + end)
        self._count += len(self._pattern.findall(whole))
        return self._count >= count


def servants(database: Database) -> list[int]:
    """Give the processes that serve us, if the server is on this machine."""
    rows = database.run(
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'unbroken%%'"
    )
    names = {pid: Path(f"/proc/{pid}/comm") for (pid,) in rows}
    return [pid for pid, name in names.items() if name.exists() and "postgres" in name.read_text()]


def begun(crowd: Crowd, effect: str) -> Counter[int]:
    """Count by process how often bodies of an effect began; of no flow twice in one process."""
    lines = crowd.lines("begin", effect=effect)
    assert len({(line.flow, line.pid) for line in lines}) == len(lines)
    return Counter(line.pid for line in lines)


async def until_counted(crowd: Crowd, pattern: str, count: int) -> None:
    counting = Counting(crowd.ledger, pattern)
    await asyncio.to_thread(crowd.until, lambda: counting.has_reached(count), PATIENCE)


async def test_a_thousand_flows_of_a_killed_process_go_on_and_nothing_is_done_twice(
    crowd: Crowd, postgresql: Database
) -> None:
    first = crowd.start()
    app, flows = crowd.client()
    places = [place for place, (count, _) in PLACES.items() for _ in range(count)]
    ids = [f"flow {number}" for number in range(FLOWS)]
    async with app:
        prepare = flows["standing"].prepare
        starts = [prepare(id, place) for id, place in zip(ids, places, strict=True)]
        assert await flows["standing"].bulk_schedule(starts) == FLOWS
        await until_counted(crowd, r'"kind":"saw","flow":"[^"]+","effect":"a"', FLOWS)
        within = sum(place.startswith("within") for place in places)
        await until_counted(crowd, r'"kind":"begin","flow":"[^"]+","effect":"stand', within)
        second = crowd.start()
        assert {flow.owner is not None for flow in crowd.snapshot().flows.values()} == {True}
        starved = Starvation([second.pid, *servants(postgresql)])
        killed_at = time.monotonic()
        first.kill()
        first.wait()
        ledger.write("killed", value=first.pid)
        await until_counted(crowd, rf'"pid":{second.pid},"kind":"started"', FLOWS)
        waited = starved.seconds()
        crowd.go()
        ended = await asyncio.gather(*(flows["standing"].completion(id) for id in ids))

    started = {line.flow: line for line in crowd.lines("started", pid=second.pid)}
    assert len(started) == FLOWS
    taken = max(line.at for line in started.values()) / 1_000_000 - killed_at
    assert taken <= LEASE + MARGIN + waited, f"took {taken:.2f} s, starved for {waited:.2f} s"
    assert ended == [PLACES[place][1] for place in places]
    counts = {place: count for place, (count, _) in PLACES.items()}
    # What was recorded ran in the first process alone, what was under way there runs again, and
    # what may begin once and was under way does not.
    assert begun(crowd, "a") == {first.pid: FLOWS}
    assert begun(crowd, "stand") == dict.fromkeys((first.pid, second.pid), counts["within"])
    assert begun(crowd, "stand_once") == {first.pid: counts["within, once"]}
    assert begun(crowd, "touch_once") == {second.pid: counts["before, once"]}
    assert begun(crowd, "b") == {second.pid: counts["before"] + counts["writing"]}
    assert crowd.violations() == []
