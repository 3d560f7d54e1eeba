"""Flows that start flows: an end to it, and no circle in which each waits for the other."""

from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, count_rows
from unbroken import ConfigurationError, FlowFailed, TooDeep, Unbroken, flow, message
from unbroken.testing import VirtualClock

MINUTE = timedelta(minutes=1)


@flow
async def endless(n: int) -> None:
    await endless.run(str(n + 1), n + 1)


@flow
async def countdown(n: int) -> int:
    return 0 if n == 0 else 1 + await countdown.run(f"at {n - 1}", n - 1)


async def test_flows_that_start_flows_without_end_are_stopped(apps: Apps) -> None:
    app = apps(depth_limit=5)
    flows = app.register(endless)
    async with app:
        with pytest.raises(FlowFailed) as failed:
            await flows.run("0", 0)
        assert count_rows(app, "flows") == 6
        with pytest.raises(FlowFailed) as deepest:
            await flows.completion("5")
    assert TooDeep.__name__ in str(failed.value)
    assert deepest.value.error.type.endswith(TooDeep.__name__)
    assert "'6' would be number 6 in a chain" in deepest.value.error.message
    assert "depth_limit" in deepest.value.error.message


async def test_a_chain_as_long_as_the_limit_is_fine(apps: Apps) -> None:
    app = apps(depth_limit=5)
    flows = app.register(countdown)
    async with app:
        assert await flows.run("at 5", 5) == 5
        with pytest.raises(FlowFailed):
            await flows.run("again at 6", 6 + 100)


async def test_the_depth_is_kept_over_restarts(shared: Apps) -> None:
    @flow
    async def deep(n: int) -> None:
        await message(str)
        await deep.run(str(n + 1), n + 1)

    app = shared(depth_limit=2)
    flows = app.register(deep)
    async with app:
        await flows.schedule("0", 0)
        await flows.send_message("0", "go")
        await shared.clock.settle()
    app = shared(depth_limit=2)
    flows = app.register(deep)
    async with app:
        for id in "12":
            await shared.clock.settle()
            await flows.send_message(id, "go")
        with pytest.raises(FlowFailed):
            await flows.completion("0")
        assert count_rows(app, "flows") == 3


@pytest.mark.parametrize("suspend_after", [AT_ONCE, MINUTE], ids=["cold", "warm"])
@pytest.mark.parametrize("generations", [1, 2, 3])
async def test_who_would_wait_for_an_ancestor_is_told_at_once(
    apps: Apps, clock: VirtualClock, generations: int, suspend_after: timedelta
) -> None:
    @flow
    async def descendant(left: int) -> None:
        if left == 0:
            await ancestor.run("oldest")
        else:
            await descendant.run(f"with {left - 1} below", left - 1)

    @flow
    async def ancestor() -> None:
        await descendant.run(f"with {generations - 1} below", generations - 1)

    app = apps(suspend_after=suspend_after)
    app.register(descendant)
    flows = app.register(ancestor)
    async with app:
        scheduled = await flows.schedule("oldest")
        await clock.settle()
        with pytest.raises(FlowFailed, match="waits for this flow, which would wait for it"):
            await scheduled.completion()
        assert count_rows(app, "flows") == generations + 1


async def test_two_parents_of_one_child_are_no_circle(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def child() -> str:
        return await message(str)

    @flow
    async def parent() -> str:
        return await child.run("shared")

    @flow
    async def grandparent() -> tuple[str, str]:
        return await parent.run("parent"), await child.run("shared")

    app = apps()
    children, _, flows = app.register(child), app.register(parent), app.register(grandparent)
    async with app:
        scheduled = await flows.schedule("grandparent")
        await clock.settle()
        await children.send_message("shared", "hello")
        assert await scheduled.completion() == ("hello", "hello")


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_cannot_work_is_refused(limit: int) -> None:
    with pytest.raises(ConfigurationError, match="depth_limit"):
        Unbroken("sqlite://", depth_limit=limit)
