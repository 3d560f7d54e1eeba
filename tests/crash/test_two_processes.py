"""Two processes on one file: a frozen one, a killed one, and one whose event loop is blocked."""

import asyncio
from typing import Any

import pytest

from tests.crash.conftest import Processes
from tests.crash.held import Paid

MARGIN = 2.0

pytestmark = pytest.mark.crash


async def schedule(processes: Processes, name: str, id: str, *args: Any) -> None:
    app, flows = processes.client()
    async with app:
        await flows[name].schedule(id, *args)
        if args[-1] == "message":
            await flows[name].send_message(id, Paid("7"))


async def result(processes: Processes, name: str, id: str) -> Any:
    app, flows = processes.client()
    async with app:
        return await flows[name].completion(id)


@pytest.mark.parametrize("then", ["effect", "once", "suspend", "child", "message", "end"])
async def test_every_write_of_a_frozen_process_is_refused_and_it_rejoins(
    processes: Processes, then: str
) -> None:
    zombie = processes.start()
    await schedule(processes, "held", "one", str(processes.folder), then)
    processes.until(lambda: processes.lines("saw", effect="a", pid=zombie.pid))
    other = processes.start()
    processes.freeze(zombie)
    processes.until(lambda: processes.lines("started", pid=other.pid, incarnation=2))
    processes.go()
    assert await result(processes, "held", "one") == f"{then}!"
    (name,) = {line.effect for line in processes.lines("landed", pid=zombie.pid)}

    processes.thaw(zombie)
    processes.until(lambda: len(processes.lines("event", effect="replica.registered")) == 3)
    refused = processes.lines("fenced", pid=zombie.pid, effect=name)
    assert len(refused) > 0

    other.kill()
    await schedule(processes, "held", "two", str(processes.folder), then)
    assert await result(processes, "held", "two") == f"{then}!"
    names = {line.effect for line in processes.lines("landed", pid=zombie.pid)}
    assert len(names) == 2
    zombie.terminate()
    assert zombie.wait() == 0
    assert processes.violations() == []


async def test_a_body_that_ends_in_a_frozen_process_writes_nothing(processes: Processes) -> None:
    zombie = processes.start()
    await schedule(processes, "held_in_a_body", "one", str(processes.folder))
    processes.until(lambda: processes.lines("begin", effect="body", pid=zombie.pid))
    other = processes.start()
    processes.freeze(zombie)
    processes.until(lambda: processes.lines("begin", effect="body", pid=other.pid))
    processes.go()
    processes.until(lambda: processes.lines("begin", effect="hold_once", pid=other.pid))
    processes.thaw(zombie)
    processes.until(lambda: processes.lines("event", effect="replica.fenced", pid=zombie.pid))
    (processes.folder / "then").mkdir()
    (processes.folder / "then" / "go").touch()
    assert await result(processes, "held_in_a_body", "one") == "heldheld"
    assert [line.pid for line in processes.lines("saw", effect="body")] == [other.pid]
    assert [line.pid for line in processes.lines("begin", effect="hold_once")] == [other.pid]
    assert processes.violations() == []


async def test_fifty_flows_of_a_killed_process_go_on_within_lease_and_two_seconds(
    processes: Processes,
) -> None:
    count = 50
    first = processes.start()
    app, flows = processes.client()
    async with app:
        starts = [
            flows["held"].prepare(f"flow {number}", str(processes.folder), "effect")
            for number in range(count)
        ]
        assert await flows["held"].bulk_schedule(starts) == count
        processes.until(lambda: len(processes.lines("saw", effect="a")) == count)
        second = processes.start()
        first.kill()
        first.wait()
        begin = max(line.at for line in processes.lines("landed", pid=first.pid))
        processes.until(lambda: len(processes.lines("started", pid=second.pid)) == count)
        last = max(line.at for line in processes.lines("started", pid=second.pid))
        processes.go()
        ended = [flows["held"].completion(start.id) for start in starts]
        assert await asyncio.gather(*ended) == ["effect!"] * count
    assert (last - begin) / 1_000_000 <= processes.lease + MARGIN
    assert processes.violations() == []


async def test_a_blocked_event_loop_keeps_its_flows_and_the_line_is_named(
    processes: Processes,
) -> None:
    processes.lease = 1.0
    first = processes.start()
    await schedule(processes, "blocking", "one", 3 * processes.lease)
    processes.until(lambda: processes.lines("saw", effect="a"))
    second = processes.start()
    assert await result(processes, "blocking", "one") == "x!"
    assert [line.pid for line in processes.lines("started")] == [first.pid]
    assert processes.lines("event", effect="replica.reaped") == []
    assert processes.lines("fenced") == []
    (blocked,) = processes.lines("event", effect="loop.blocked", pid=first.pid)
    assert "held.py:" in blocked.value
    assert "in blocking" in blocked.value
    assert processes.lines("event", effect="loop.blocked", pid=second.pid) == []
    assert processes.violations() == []
