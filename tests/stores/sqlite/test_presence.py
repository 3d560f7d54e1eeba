"""A replica whose process has ended is known to be dead before its lease is over."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from tests.stores.clock import FakeClock
from unbroken.model.clock import SystemClock
from unbroken.stores.sqlite.bus import GLANCE
from unbroken.stores.sqlite.store import SqliteStore

LEASE = 3_600_000_000

OTHER_PROCESS = """
import asyncio, sys
from unbroken.model.clock import SystemClock
from unbroken.stores.sqlite.store import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1], clock=SystemClock())
    await store.open()
    await store.register("other")
    print("registered", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a death is found by the lease alone"
)


async def start_other(path: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        OTHER_PROCESS,
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"registered\n"
    return process


async def end(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGKILL)
    await process.communicate()


@pytest.fixture
async def store(tmp_path: Path) -> SqliteStore:
    store = SqliteStore(str(tmp_path / "flows.db"), clock=SystemClock())
    await store.open()
    await store.register("me")
    return store


async def test_a_killed_process_is_reaped_at_once(store: SqliteStore, tmp_path: Path) -> None:
    process = await start_other(tmp_path / "flows.db")
    try:
        assert (await store.reap("me", LEASE)).removed == 0
    finally:
        await end(process)
    assert (await store.reap("me", LEASE)).removed == 1
    await store.close()


async def test_a_frozen_process_is_not_taken_for_dead(store: SqliteStore, tmp_path: Path) -> None:
    process = await start_other(tmp_path / "flows.db")
    try:
        process.send_signal(signal.SIGSTOP)
        assert (await store.reap("me", LEASE)).removed == 0
    finally:
        await end(process)
    await store.close()


async def test_the_bus_tells_of_a_replica_that_came_and_of_its_death(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SqliteStore(str(tmp_path / "flows.db"), clock=clock)
    await store.open()
    await store.register("me")
    regrouped: list[str] = []
    bus = store.bus()
    listening = asyncio.create_task(bus.listen(lambda: None, lambda: regrouped.append("!")))
    await clock.advance(GLANCE)
    regrouped.clear()
    process = await start_other(tmp_path / "flows.db")
    try:
        await clock.advance(GLANCE)
        assert len(regrouped) == 1
        await store.reap("me", LEASE)
        await clock.advance(GLANCE)
        assert len(regrouped) == 1
    finally:
        await end(process)
    await clock.advance(GLANCE)
    await clock.advance(GLANCE)
    assert len(regrouped) == 2
    listening.cancel()
    await store.close()
