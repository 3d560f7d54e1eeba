"""Flows that hold a lock in a process that dies: their place is theirs until they end elsewhere."""

from typing import Any

import pytest

from tests.crash.conftest import Processes

pytestmark = pytest.mark.crash

COUNT = 6


def standing(processes: Processes) -> list[tuple[str, bool]]:
    """Give who stands in the queue and whether it holds the place, in order."""
    places = processes.snapshot().places
    return [(place.flow.removeprefix("locked "), place.held) for place in places]


async def schedule(flows: dict[str, Any], processes: Processes) -> list[str]:
    ids = [str(number) for number in range(COUNT)]
    for count, id in enumerate(ids, 1):
        await flows["locked"].schedule(id, str(processes.folder), id)
        processes.until(lambda: len(standing(processes)) == count)  # noqa: B023 - waited for here
    return ids


@pytest.mark.parametrize("end", ["kill", "freeze"])
async def test_the_lock_of_a_dead_process_stays_with_its_flow_and_is_freed_at_its_end(
    processes: Processes, end: str
) -> None:
    first = processes.start()
    app, flows = processes.client()
    async with app:
        ids = await schedule(flows, processes)
        processes.until(lambda: processes.lines("saw", effect="guarded 1"))
        if end == "kill":
            first.kill()
        else:
            processes.freeze(first)
        assert standing(processes) == [(id, id == "0") for id in ids]
        second = processes.start()
        processes.until(lambda: processes.lines("saw", effect="guarded 1", pid=second.pid))
        assert {line.flow for line in processes.lines("begin")} == {"locked 0"}
        assert standing(processes) == [(id, id == "0") for id in ids]
        processes.go()
        if end == "freeze":
            processes.thaw(first)
        for id in ids:
            assert await flows["locked"].completion(id) == f"{id}!!"
    begun = [line.flow for line in processes.lines("begin", effect="guarded 2")]
    assert list(dict.fromkeys(begun)) == [f"locked {id}" for id in ids]
    assert standing(processes) == []
    assert processes.violations() == []


async def test_a_lock_goes_from_process_to_process_while_they_are_killed(
    processes: Processes,
) -> None:
    app, flows = processes.client()
    async with app:
        running = processes.start()
        ids = await schedule(flows, processes)
        processes.go()
        for id in ids[:-1]:
            begun = f"locked {id}"
            processes.until(lambda: processes.lines("begin", flow=begun))  # noqa: B023 - as above
            running.kill()
            running = processes.start()
        for id in ids:
            assert await flows["locked"].completion(id) == f"{id}!!"
    assert standing(processes) == []
    assert processes.violations() == []
