"""SIGTERM and SIGINT: flows are handed over at once, effects that run have some grace."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.crash.conftest import Processes
from tests.crash.held import GO, GRACE, Paid

# Long enough that nothing here can be explained by the end of a lease.
LEASE = 60.0
AT_ONCE = 3.0

pytestmark = pytest.mark.crash


@pytest.fixture(autouse=True)
def no_lease_is_over(processes: Processes) -> None:
    processes.lease = LEASE


def place(processes: Processes, name: str, *, go: bool) -> str:
    """Make a folder for a flow to stand still in, or to pass through."""
    folder = processes.folder / name
    folder.mkdir()
    if go:
        (folder / GO).touch()
    return str(folder)


async def schedule(processes: Processes, name: str, id: str, *args: Any) -> None:
    app, flows = processes.client()
    async with app:
        await flows[name].schedule(id, *args)


async def result(processes: Processes, name: str, id: str) -> Any:
    app, flows = processes.client()
    async with app:
        return await flows[name].completion(id)


async def end_patient(processes: Processes) -> None:
    app, flows = processes.client()
    async with app:
        await flows["waiting"].send_message("patient", Paid("7"))
        assert await flows["waiting"].completion("patient") == "book 7!"


def has_handed_over(processes: Processes, flow: str) -> bool:
    """Whether nobody owns a flow any more that waits in memory: its process is stopping."""
    return processes.snapshot().flows[flow].owner is None


def ends_at_once(process: subprocess.Popen[bytes]) -> bool:
    """Wait for a process to end by itself, long before the grace is over; True if with code 0."""
    assert GRACE.total_seconds() > 2 * AT_ONCE
    return process.wait(AT_ONCE) == 0


@pytest.mark.parametrize("ask", [signal.SIGTERM, signal.SIGINT])
async def test_a_waiting_flow_goes_on_elsewhere_while_a_running_effect_has_its_grace(
    processes: Processes, ask: signal.Signals
) -> None:
    first = processes.start()
    folder = place(processes, "busy", go=False)
    place(processes, "busy/then", go=True)
    await schedule(processes, "held_in_a_body", "busy", folder)
    await schedule(processes, "waiting", "patient", "book")
    processes.until(lambda: processes.lines("begin", effect="body"))
    processes.until(lambda: processes.lines("started", flow="waiting patient"))
    second = processes.start()
    first.send_signal(ask)

    await end_patient(processes)
    assert [line.pid for line in processes.lines("saw", flow="waiting patient")] == [second.pid]
    assert first.poll() is None

    Path(folder, GO).touch()
    assert await result(processes, "held_in_a_body", "busy") == "heldheld"
    assert first.wait(AT_ONCE) == 0
    assert [line.pid for line in processes.lines("begin", effect="body")] == [first.pid]
    assert [line.pid for line in processes.lines("begin", effect="hold_once")] == [second.pid]
    assert processes.violations() == []


async def test_a_second_signal_ends_the_grace_and_another_process_goes_on_at_once(
    processes: Processes,
) -> None:
    first = processes.start()
    one, two = place(processes, "one", go=False), place(processes, "two", go=True)
    place(processes, "one/then", go=True)
    place(processes, "two/then", go=False)
    await schedule(processes, "held_in_a_body", "one", one)
    await schedule(processes, "held_in_a_body", "two", two)
    processes.until(lambda: processes.lines("begin", flow="held_in_a_body one", effect="body"))
    processes.until(lambda: processes.lines("begin", flow="held_in_a_body two", effect="hold_once"))
    await schedule(processes, "waiting", "patient", "book")
    processes.until(lambda: processes.lines("started", flow="waiting patient"))
    second = processes.start()
    first.terminate()
    processes.until(lambda: has_handed_over(processes, "waiting patient"))
    assert first.poll() is None
    first.terminate()
    begin = time.monotonic()
    assert ends_at_once(first)

    processes.until(lambda: len(processes.lines("begin", effect="body", pid=second.pid)) == 1)
    assert time.monotonic() - begin < AT_ONCE
    Path(one, GO).touch()
    assert await result(processes, "held_in_a_body", "one") == "heldheld"
    assert await result(processes, "held_in_a_body", "two") == "interruptedheld"
    assert len(processes.lines("interrupted", effect="hold_once", pid=second.pid)) == 1
    await end_patient(processes)
    assert processes.violations() == []


async def test_a_plain_function_that_runs_on_does_not_keep_a_hurried_process_alive(
    processes: Processes,
) -> None:
    first = processes.start()
    folder = place(processes, "one", go=False)
    await schedule(processes, "held_in_a_thread", "one", folder)
    processes.until(lambda: processes.lines("begin", effect="thread"))
    await schedule(processes, "waiting", "patient", "book")
    processes.until(lambda: processes.lines("started", flow="waiting patient"))
    second = processes.start()
    first.terminate()
    processes.until(lambda: has_handed_over(processes, "waiting patient"))
    first.terminate()
    assert ends_at_once(first)
    processes.until(lambda: processes.lines("begin", effect="thread", pid=second.pid))
    Path(folder, GO).touch()
    assert await result(processes, "held_in_a_thread", "one") == "held"
    await end_patient(processes)
    assert processes.violations() == []


async def test_an_idle_process_ends_at_once_with_code_0(processes: Processes) -> None:
    process = processes.start()
    process.terminate()
    assert ends_at_once(process)
