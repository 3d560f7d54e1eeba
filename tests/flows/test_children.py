"""Children: started once, awaited over suspensions, their failures the parent's own class of error."""

import asyncio
from datetime import timedelta

import pytest

from tests.flows.apps import (
    AT_ONCE,
    LEASE,
    Apps,
    Gate,
    count_rows,
    row,
    stored_effects,
    stored_messages,
    stored_parents,
)
from unbroken import (
    FlowFailed,
    NotInFlow,
    NotRegistered,
    Status,
    UsageError,
    capture,
    current_flow,
    flow,
    gather,
    message,
    sleep,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
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


async def test_a_child_is_started_once_over_all_incarnations(
    apps: Apps, clock: VirtualClock
) -> None:
    starts: list[int] = []

    @flow
    async def child() -> str:
        starts.append(1)
        return await message(str)

    @flow
    async def parent() -> str:
        running = await child.schedule("child")
        for _ in range(3):
            await sleep(HOUR)
        return await running.completion()

    app = apps(suspend_after=HOUR)
    children, parents = app.register(child), app.register(parent)
    async with app:
        scheduled = await parents.schedule("p")
        await clock.advance(4 * HOUR)
        await children.send_message("child", "go")
        assert await scheduled.completion() == "go"
        assert count_rows(app, "flows") == 2


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


async def test_a_childs_end_is_told_in_the_childs_own_last_write(shared: Apps) -> None:
    """The parent's process hangs; the child's end is in its inbox for whoever takes over."""

    @flow
    async def parent() -> int:
        return await slow_double.run("child", 4)

    first = shared(suspend_after=AT_ONCE)
    first.register(slow_double)
    parents = first.register(parent)
    async with first:
        await parents.schedule("p")
        await shared.clock.settle()

    only_child = shared()
    doubles = only_child.register(slow_double)
    async with only_child:
        await shared.clock.advance(HOUR)
        assert await doubles.completion("child") == 8
        assert len(stored_messages(only_child, "p")) == 1

    second = shared()
    second.register(slow_double)
    parents = second.register(parent)
    async with second:
        assert await parents.completion("p") == 8


async def test_the_start_of_a_child_and_the_parents_record_of_it_survive_a_crash(
    shared: Apps,
) -> None:
    gate, runs = Gate(), []

    @flow
    async def parent() -> int:
        runs.append(1)
        running = await slow_double.schedule("child", 4)
        if len(runs) == 1:
            await gate.pass_through()
        return await running.completion()

    hung = shared(clock=VirtualClock())
    hung.register(slow_double)
    hung_parents = hung.register(parent)
    await hung.start()
    await hung_parents.schedule("p")
    await gate.reached()
    app = shared()
    app.register(slow_double)
    parents = app.register(parent)
    async with app:
        await shared.clock.advance(LEASE + SECOND)
        await shared.clock.advance(HOUR)
        assert await parents.completion("p") == 8
        assert count_rows(app, "flows") == 2


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
        assert not (await row(app, "parent", "p")).status is Status.DONE
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


async def test_a_flow_that_would_wait_for_itself_is_told_at_once(apps: Apps) -> None:
    @flow
    async def ouroboros() -> None:
        await ouroboros.run("tail")

    app = apps()
    flows = app.register(ouroboros)
    async with app:
        with pytest.raises(FlowFailed, match="would wait for itself: give the child its own id"):
            await flows.run("tail")
        assert count_rows(app, "flows") == 1


async def test_a_child_of_an_unregistered_type_is_refused(apps: Apps) -> None:
    app = apps()
    parents = app.register(parent_of_one)
    async with app:
        with pytest.raises(FlowFailed, match="'double' is not registered: call app.register"):
            await parents.run("p", 1)
        assert count_rows(app, "flows") == 1


async def test_a_flow_function_starts_children_only_inside_a_flow() -> None:
    with pytest.raises(NotInFlow, match="use the handle that app.register"):
        double.run("a", 1)
    with pytest.raises(NotInFlow, match="use the handle that app.register"):
        double.schedule("a", 1)


async def test_a_captured_body_starts_no_child(apps: Apps) -> None:
    @flow
    async def parent() -> int:
        return await capture("body", lambda: double.run("child", 1))

    app = apps()
    app.register(double)
    parents = app.register(parent)
    async with app:
        with pytest.raises(FlowFailed, match="inside the captured body 'body'"):
            await parents.run("p")
        assert count_rows(app, "flows") == 1


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


async def test_a_child_whose_arguments_cannot_be_kept_is_not_started(apps: Apps) -> None:
    @flow
    async def parent() -> None:
        await double.run("child", object())  # type: ignore[arg-type]  # pyright: ignore

    app = apps()
    app.register(double)
    parents = app.register(parent)
    async with app:
        with pytest.raises(FlowFailed, match=r"\$\.n"):
            await parents.run("p")
        assert count_rows(app, "flows") == 1


def test_usage_errors_are_one_family() -> None:
    assert issubclass(NotInFlow, UsageError)
    assert not issubclass(NotRegistered, UsageError)
