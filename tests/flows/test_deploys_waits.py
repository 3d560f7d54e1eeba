"""Waits that are added, removed or change their order meet a flow that stands at each of them."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps
from unbroken import Status, capture, flow, gather, message, now, sleep

HOUR = timedelta(hours=1)


@flow
async def child() -> str:
    return await message(str)


async def noted() -> str:
    return await capture("noted", lambda: "noted")


STEPS: dict[str, Callable[[], Any]] = {
    "sleep": lambda: sleep(HOUR),
    "message": lambda: message(str),
    "timed": lambda: message(int, timeout=HOUR),
    "child": lambda: child.run("child"),
    "now": now,
    "noted": noted,
    "both": lambda: gather(sleep(HOUR), message(bytes)),
}
CHANGES = [
    (["sleep", "message", "child"], ["child", "sleep", "message"]),
    (["sleep", "message"], ["message", "sleep"]),
    (["message", "noted"], ["sleep", "message", "noted"]),
    (["message", "noted"], ["noted", "timed", "message"]),
    (["sleep", "message", "noted"], ["message", "noted"]),
    (["message", "child"], ["message"]),
    (["child", "noted"], ["noted"]),
    (["timed", "noted"], ["noted", "timed", "child"]),
    (["message", "message", "sleep"], ["message", "sleep"]),
    (["message", "sleep"], ["message", "message", "sleep"]),
    (["both", "noted"], ["sleep", "both", "noted"]),
    (["both", "noted"], ["noted"]),
    (["now", "sleep"], ["sleep", "now", "both"]),
]


def program(steps: Sequence[str]) -> Any:
    @flow(name="deployed")
    async def deployed() -> int:
        for step in steps:
            await STEPS[step]()
        await message(float)
        return len(steps)

    return deployed


async def push(shared: Apps, flows: Any, children: Any, times: int) -> None:
    """Let time pass and send what the flow may wait for, so many times."""
    for _ in range(times):
        await shared.clock.advance(HOUR)
        for one in ("text", b"bytes", 7):
            await flows.send_message("1", one)
        await children.send_message("child", "go")
        await shared.clock.settle()


@pytest.mark.parametrize("pushes", [0, 1, 2])
@pytest.mark.parametrize(
    ("before", "after"), CHANGES, ids=[f"{'+'.join(a)} to {'+'.join(b)}" for a, b in CHANGES]
)
async def test_a_flow_at_any_wait_ends_after_a_deploy(
    shared: Apps, before: Sequence[str], after: Sequence[str], pushes: int
) -> None:
    for steps, times in ((before, pushes), (after, 5)):
        app = shared(suspend_after=AT_ONCE)
        flows, children = app.register(program(steps)), app.register(child)
        async with app:
            await flows.schedule("1")
            await shared.clock.settle()
            await push(shared, flows, children, times)
            if steps is after:
                await flows.send_message("1", 1.5)
                assert await flows.completion("1") == len(after)
                assert [info.status for info in await flows.list()] == [Status.DONE]
