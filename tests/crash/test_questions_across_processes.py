"""Questions across real processes: killed and frozen ones that were about to answer."""

import asyncio
import time

import pytest

from tests.crash.conftest import Processes
from tests.crash.held import Paid

MARGIN = 2.0

pytestmark = pytest.mark.crash


async def test_two_apps_ask_with_one_key_and_the_successor_of_a_killed_process_answers(
    processes: Processes,
) -> None:
    first = processes.start()
    (one, its_flows), (other, others_flows) = processes.client(), processes.client()
    async with one, other:
        await its_flows["answering"].schedule("a", str(processes.folder))
        asking = [
            asyncio.create_task(flows["answering"].ask("a", Paid("7"), str, key="k"))
            for flows in (its_flows, others_flows)
        ]
        await asyncio.to_thread(processes.until, lambda: processes.lines("saw", effect="a"))
        first.kill()
        first.wait()
        second = processes.start()
        await asyncio.to_thread(processes.until, lambda: processes.lines("started", pid=second.pid))
        processes.go()
        begin = time.monotonic()
        assert await asyncio.gather(*asking) == ["7! by 2", "7! by 2"]
        assert time.monotonic() - begin < MARGIN  # far less than the time between two polls
        assert await its_flows["answering"].completion("a") == "7!"
        assert await its_flows["answering"].ask("a", Paid("7"), str, key="k") == "7! by 2"
    assert processes.violations() == []


async def test_the_answer_of_a_process_that_was_declared_dead_is_not_given(
    processes: Processes,
) -> None:
    zombie = processes.start()
    app, flows = processes.client()
    async with app:
        await flows["answering"].schedule("a", str(processes.folder))
        asking = asyncio.create_task(flows["answering"].ask("a", Paid("7"), str, key="k"))
        await asyncio.to_thread(processes.until, lambda: processes.lines("saw", effect="a"))
        other = processes.start()
        processes.freeze(zombie)
        await asyncio.to_thread(
            processes.until, lambda: processes.lines("started", pid=other.pid, incarnation=2)
        )
        processes.go()
        assert await asking == "7! by 2"
        processes.thaw(zombie)
        await asyncio.to_thread(
            processes.until,
            lambda: len(processes.lines("event", effect="replica.registered")) == 3,
        )
        assert await flows["answering"].ask("a", Paid("7"), str, key="k") == "7! by 2"
    assert len(processes.lines("fenced", pid=zombie.pid)) > 0
    assert processes.violations() == []
