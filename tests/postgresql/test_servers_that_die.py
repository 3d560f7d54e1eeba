"""The server dies under load, or one of its processes does: everybody reconnects and finishes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.crash.conftest import Processes
from tests.postgresql.conftest import processes_on
from tests.postgresql.server import OwnServer

FLOWS = 40
STEPS = 6
# Nobody is declared dead while the server is away: whoever had a flow finishes it.
LEASE = 60.0
# The server recovers while the machine is busy with other tests.
PATIENCE = 60.0

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def processes(
    own_server: OwnServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Processes]:
    """Give processes that keep their flows on the test's own server."""
    with processes_on(own_server.url, tmp_path, monkeypatch) as started:
        started.lease = LEASE
        yield started


def seen(processes: Processes) -> int:
    """Count what flows have seen so far, each thing once."""
    return len({(line.flow, line.effect) for line in processes.lines("saw")})


@asynccontextmanager
async def under_load(processes: Processes) -> AsyncIterator[Callable[[float], Any]]:
    """Let processes work; at the end all flows must have ended well, each act done once."""
    workers = [processes.start() for _ in range(2)]
    app, flows = processes.client()
    async with app:
        ids = [f"order {number}" for number in range(FLOWS)]
        starts = [flows["working"].prepare(id, id, STEPS) for id in ids]
        assert await flows["working"].bulk_schedule(starts) == FLOWS

        async def until_done(share: float) -> None:
            wanted = round(share * FLOWS * STEPS)
            await asyncio.to_thread(processes.until, lambda: seen(processes) >= wanted, PATIENCE)

        await until_done(0.1)
        yield until_done
        ended = await asyncio.gather(*(flows["working"].completion(id) for id in ids))
        assert ended == [f"{id}!!" for id in ids]
    assert [one.poll() for one in workers] == [None, None]
    for trouble in ("replica.fenced", "engine.part_failed", "flow.parked"):
        assert processes.lines("event", effect=trouble) == []
    begun = [(line.flow, line.effect) for line in processes.lines("begin")]
    assert len(begun) == len(set(begun)) == FLOWS * (STEPS + 1)
    assert processes.violations() == []


async def test_all_of_the_server_is_killed_twice(
    own_server: OwnServer, processes: Processes
) -> None:
    async with under_load(processes) as until_done:
        for share in (0.4, 0.7):
            own_server.kill()
            own_server.start()
            await until_done(share)


async def test_one_process_of_the_server_is_killed_and_takes_the_others_with_it(
    own_server: OwnServer, processes: Processes
) -> None:
    async with under_load(processes) as until_done:
        for share in (0.3, 0.5, 0.7):
            own_server.kill_backend(own_server.backends("unbroken%")[0])
            await until_done(share)


async def test_one_connection_after_the_other_is_ended(
    own_server: OwnServer, processes: Processes
) -> None:
    async with under_load(processes) as until_done:
        for share in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7):
            for pid in own_server.backends("unbroken%"):
                own_server.run("SELECT pg_terminate_backend(%s)", (pid,))
            await until_done(share)


async def test_a_clean_restart_and_a_while_of_reading_only(
    own_server: OwnServer, processes: Processes
) -> None:
    async with under_load(processes) as until_done:
        own_server.stop()
        own_server.set("default_transaction_read_only = on")
        own_server.start()
        complaints = len(processes.lines("event", effect="store.unavailable"))
        await asyncio.to_thread(
            processes.until,
            lambda: len(processes.lines("event", effect="store.unavailable")) > complaints + 4,
            PATIENCE,
        )
        own_server.set("default_transaction_read_only = off")
        own_server.reload()
        await until_done(0.7)
    told = {line.value for line in processes.lines("event", effect="store.unavailable")}
    assert any("read-only" in one for one in told)
