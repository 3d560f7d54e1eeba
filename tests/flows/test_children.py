"""Children: started once, awaited over suspensions, their failures told as one class."""

import asyncio
from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, row, stored_effects, stored_parents
from unbroken import FlowFailed, Status, current_flow, flow, gather, message, sleep
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


@flow
async def double(n: int) -> int:
    return n * 2


@flow
async def slow_double(n: int) -> int:
    await sleep(HOUR)
    return n * 2


@flow
async def fail(text: str) -> None:
    raise LookupError(text)


@flow
async def parent_of_one(n: int) -> int:
    return await double.run("child", n) + 1


async def test_a_parent_gets_its_childs_result(apps: Apps) -> None:
    app = apps()
    app.register(double)
    parents = app.register(parent_of_one)
    async with app:
        assert await parents.run("p", 4) == 9
        assert (await row(app, "double", "child")).status is Status.DONE


async def test_a_child_remembers_its_parent_and_a_top_level_flow_has_none(apps: Apps) -> None:
    app = apps()
    doubles = app.register(double)
    parents = app.register(parent_of_one)
    async with app:
        await parents.run("p", 4)
        await doubles.run("top", 1)
        assert '"p"' in stored_parents(app, "child") or "parent_of_one" in stored_parents(
            app, "child"
        )
        assert stored_parents(app, "top") == stored_parents(app, "p") == "[]"


async def test_a_childs_failure_reaches_the_parent_as_flow_failed(
    apps: Apps, clock: VirtualClock
) -> None:
    caught: list[tuple[str, str, str]] = []

    @flow
    async def parent() -> str:
        try:
            await fail.run("child", "gone")
        except FlowFailed as error:
            caught.append((error.flow_id, error.error.type, error.error.message))
        await sleep(HOUR)
        return "handled"

    app = apps(suspend_after=AT_ONCE)
    app.register(fail)
    parents = app.register(parent)
    async with app:
        scheduled = await parents.schedule("p")
        await clock.advance(HOUR)
        assert await scheduled.completion() == "handled"
    assert caught
    assert set(caught) == {("child", "LookupError", "gone")}


async def test_a_childs_failure_that_nobody_catches_fails_the_parent(apps: Apps) -> None:
    @flow
    async def parent() -> None:
        await fail.run("child", "gone")

    app = apps()
    app.register(fail)
    parents = app.register(parent)
    async with app:
        with pytest.raises(FlowFailed, match="flow 'child' failed: LookupError: gone") as caught:
            await parents.run("p")
        assert caught.value.flow_id == "p"


async def test_a_childs_result_reaches_a_parent_that_left_memory(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def parent() -> int:
        return await slow_double.run("child", 4)

    app = apps(suspend_after=AT_ONCE)
    app.register(slow_double)
    parents = app.register(parent)
    async with app:
        scheduled = await parents.schedule("p")
        await clock.advance(HOUR / 2)
        view = await row(app, "parent", "p")
        assert (view.owner, view.due_at) == (None, None)
        await clock.advance(HOUR / 2)
        assert await scheduled.completion() == 8


async def test_children_run_side_by_side_and_are_joined(apps: Apps) -> None:
    @flow
    async def parent() -> list[int]:
        running = [await double.schedule(f"child-{n}", n) for n in range(20)]
        return [await one.completion() for one in running]

    app = apps()
    app.register(double)
    parents = app.register(parent)
    async with app:
        assert await parents.run("p") == [n * 2 for n in range(20)]


async def test_many_children_that_end_at_once_all_reach_the_parent(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def parent() -> int:
        results = await gather(*(slow_double.run(f"child-{n}", n) for n in range(50)))
        return sum(results)

    app = apps(suspend_after=AT_ONCE)
    app.register(slow_double)
    parents = app.register(parent)
    async with app:
        scheduled = await parents.schedule("p")
        await clock.advance(HOUR)
        assert await scheduled.completion() == sum(n * 2 for n in range(50))


async def test_children_that_tell_their_parent_while_it_waits_lose_nothing(apps: Apps) -> None:
    @flow
    async def teller(n: int) -> None:
        await parents.message_writer("p").append(n, key=f"told-{n}")

    @flow
    async def parent() -> list[int]:
        for n in range(30):
            await teller.schedule(f"teller-{n}", n)
        return sorted([await message(int) for _ in range(30)])

    app = apps(suspend_after=AT_ONCE)
    app.register(teller)
    parents = app.register(parent)
    async with app:
        assert await parents.run("p") == list(range(30))


async def test_a_child_that_ended_before_it_was_asked_for_gives_its_result(apps: Apps) -> None:
    app = apps()
    doubles = app.register(double)
    parents = app.register(parent_of_one)
    async with app:
        assert await doubles.run("child", 4) == 8
        assert await parents.run("p", 4) == 9


async def test_two_parents_may_share_a_child(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def parent() -> int:
        return await slow_double.run("child", 4)

    app = apps(suspend_after=AT_ONCE)
    app.register(slow_double)
    parents = app.register(parent)
    async with app:
        first, second = await parents.schedule("p1"), await parents.schedule("p2")
        await clock.advance(HOUR)
        assert (await first.completion(), await second.completion()) == (8, 8)
        assert (await row(app, "slow_double", "child")).status is Status.DONE


async def test_a_parent_may_ask_twice_for_one_child(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def parent() -> int:
        return sum(await gather(slow_double.run("child", 4), slow_double.run("child", 4)))

    app = apps(suspend_after=AT_ONCE)
    app.register(slow_double)
    parents = app.register(parent)
    async with app:
        scheduled = await parents.schedule("p")
        await clock.advance(HOUR)
        assert await scheduled.completion() == 16


async def test_a_childs_end_is_no_message_for_the_parents_own_waits(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def parent() -> list[object]:
        running = await double.schedule("child", 4)
        return [await message(object), await running.completion()]

    app = apps()
    app.register(double)
    parents = app.register(parent)
    async with app:
        scheduled = await parents.schedule("p")
        await clock.settle()
        assert (await row(app, "double", "child")).status is Status.DONE
        assert (await row(app, "parent", "p")).status is Status.LIVE
        await parents.send_message("p", "mine")
        assert await scheduled.completion() == ["mine", 8]


async def test_a_handle_inside_a_flow_starts_a_child_too(apps: Apps) -> None:
    @flow
    async def parent() -> int:
        return await doubles.run("child", 4)

    app = apps()
    doubles = app.register(double)
    parents = app.register(parent)
    async with app:
        assert await parents.run("p") == 8
        assert stored_parents(app, "child") != "[]"


async def test_a_detached_start_makes_no_child(apps: Apps) -> None:
    @flow
    async def parent() -> str:
        await doubles.options(detached=True).schedule("other", 4)
        return "done"

    app = apps()
    doubles = app.register(double)
    parents = app.register(parent)
    async with app:
        assert await parents.run("p") == "done"
        assert await doubles.completion("other") == 8
        assert stored_parents(app, "other") == "[]"
        assert stored_effects(app, "p") == {}


async def test_a_class_flow_is_started_as_a_child_through_the_current_flow(apps: Apps) -> None:
    @flow
    class Shipping:
        async def run(self, order: str) -> str:
            return f"shipped {order}"

    @flow
    async def parent() -> list[str]:
        flows = current_flow().flows(Shipping)
        running = await flows.schedule("second", "pen")
        return [await flows.run("first", "book"), await running.completion()]

    app = apps()
    app.register(Shipping)
    parents = app.register(parent)
    async with app:
        assert await parents.run("p") == ["shipped book", "shipped pen"]


async def test_a_flow_may_start_its_own_type(apps: Apps) -> None:
    @flow
    async def factorial(n: int) -> int:
        return 1 if n <= 1 else n * await factorial.run(f"{n - 1}!", n - 1)

    app = apps()
    factorials = app.register(factorial)
    async with app:
        assert await factorials.run("10!", 10) == 3628800


async def test_a_parents_end_leaves_its_children_running(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def parent() -> str:
        await slow_double.schedule("child", 4)
        return "done"

    app = apps()
    doubles = app.register(slow_double)
    parents = app.register(parent)
    async with app:
        assert await parents.run("p") == "done"
        await clock.advance(HOUR)
        assert await doubles.completion("child") == 8


async def test_a_caller_and_a_parent_may_wait_for_one_flow(apps: Apps, clock: VirtualClock) -> None:
    @flow
    async def parent() -> int:
        return await slow_double.run("child", 4)

    app = apps()
    doubles = app.register(slow_double)
    parents = app.register(parent)
    async with app:
        caller = asyncio.create_task(doubles.run("child", 4))
        await clock.settle()
        scheduled = await parents.schedule("p")
        await clock.advance(HOUR)
        assert (await caller, await scheduled.completion()) == (8, 8)
