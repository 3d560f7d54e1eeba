"""A process is killed with a thousand flows in flight: another one has them soon, and rightly."""

from __future__ import annotations

import asyncio

import pytest

from tests.crash import ledger
from tests.crash.conftest import Processes

FLOWS = 1_000
LEASE = 3.0
# What a busy machine needs to run the first lines of a thousand flows.
PATIENCE = 60.0

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(600)]


async def test_a_thousand_flows_of_a_killed_process_go_on_and_nothing_is_done_twice(
    processes: Processes,
) -> None:
    processes.lease = LEASE
    first = processes.start()
    app, flows = processes.client()
    async with app:
        ids = [f"flow {number}" for number in range(FLOWS)]
        kinds = ["effect", "once"]
        starts = [
            flows["held"].prepare(id, str(processes.folder), kinds[number % 2])
            for number, id in enumerate(ids)
        ]
        assert await flows["held"].bulk_schedule(starts) == FLOWS
        until = processes.until
        await asyncio.to_thread(
            until, lambda: len(processes.lines("saw", effect="a")) == FLOWS, PATIENCE
        )
        second = processes.start()
        first.kill()
        first.wait()
        ledger.write("killed", value=first.pid)
        await asyncio.to_thread(
            until, lambda: len(processes.lines("started", pid=second.pid)) == FLOWS, PATIENCE
        )
        processes.go()
        ended = await asyncio.gather(*(flows["held"].completion(id) for id in ids))
    assert ended == [f"{kinds[number % 2]}!" for number in range(FLOWS)]
    begun = [(line.flow, line.effect) for line in processes.lines("begin")]
    assert len(begun) == len(set(begun)) == 2 * FLOWS
    assert processes.violations() == []
