"""Flow types that were renamed: the new handle finds what is stored under the former name."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, count_rows, loose, row, stored_effects
from unbroken import (
    Delivery,
    Envelope,
    FlowCancelled,
    FlowNotFound,
    ParamIgnored,
    Status,
    capture,
    current_flow,
    flow,
    message,
    sleep,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@flow(name="old")
async def before(prefix: str) -> str:
    return prefix + await message(str)


@flow(name="new", aliases=["older", "old"])
async def after(prefix: str) -> str:
    return prefix + await message(str)


@flow(name="new")
async def without_alias(prefix: str) -> str:
    return prefix + await message(str)


async def start_old(shared: Apps, *ids: str) -> None:
    """Start flows under the former name, with a deploy of its own, and stop it."""
    app = shared()
    flows = app.register(before)
    async with app:
        for id in ids:
            await flows.schedule(id, f"{id} ")
        await shared.clock.settle()


async def test_without_an_alias_nothing_is_found(shared: Apps) -> None:
    await start_old(shared, "a")
    app = shared()
    flows = app.register(without_alias)
    async with app:
        assert await flows.send_message("a", "x") is Delivery.NO_SUCH_FLOW
        with pytest.raises(FlowNotFound):
            await flows.completion("a")
        assert await flows.list() == []


async def test_a_start_attaches_to_the_flow_of_the_former_name(shared: Apps) -> None:
    await start_old(shared, "a")
    app = shared()
    flows = app.register(after)
    async with app:
        scheduled = await flows.schedule("a", "a ")
        running = asyncio.create_task(flows.run("a", "a "))
        await shared.clock.settle()
        assert count_rows(app, "flows") == 1
        assert await flows.send_message("a", "x") is Delivery.ACCEPTED
        assert await scheduled.completion() == await running == "a x"
        assert await flows.run("a", "a ") == "a x"
        assert await flows.bulk_schedule([flows.prepare("a", "a "), flows.prepare("b", "")]) == 1


async def test_a_start_with_other_arguments_says_so_by_the_stored_name(shared: Apps) -> None:
    await start_old(shared, "a")
    app = shared()
    flows = app.register(after)
    async with app:
        with pytest.raises(ParamIgnored, match="the flow old 'a' exists with other arguments"):
            await flows.options(strict=True).schedule("a", "other")


async def test_a_new_flow_has_the_new_name(shared: Apps) -> None:
    await start_old(shared, "a")
    app = shared()
    flows = app.register(after)
    async with app:
        await flows.schedule("b", "b ")
        assert (await row(app, "new", "b")).status is Status.LIVE
        assert await flows.send_message("b", "x") is Delivery.ACCEPTED
        assert await flows.completion("b") == "b x"


async def test_messages_find_the_flow_of_the_former_name(shared: Apps) -> None:
    await start_old(shared, "a", "b", "c", "d")
    app = shared()
    flows = app.register(after)
    async with app:
        writer = flows.message_writer("a")
        assert await writer.append("1", key="k") is Delivery.ACCEPTED
        assert await writer.append("1", key="k") is Delivery.DUPLICATE
        envelopes = [Envelope("b", "2"), Envelope("none", "2")]
        answers = [Delivery.ACCEPTED, Delivery.NO_SUCH_FLOW]
        assert await flows.send_messages(envelopes) == answers
        start = flows.prepare("c", "c ")
        assert await flows.send_message("c", "3", start=start) is Delivery.ACCEPTED
        fresh = flows.prepare("e", "e ")
        assert await flows.send_message("e", "5", start=fresh) is Delivery.ACCEPTED
        results = [await flows.completion(id) for id in "abce"]
        assert results == ["a 1", "b 2", "c 3", "e 5"]
        assert await flows.send_message("a", "late") is Delivery.FLOW_ENDED
        assert count_rows(app, "flows") == 5


async def test_a_cancel_finds_the_flow_of_the_former_name(shared: Apps) -> None:
    await start_old(shared, "a")
    app = shared()
    flows = app.register(after)
    async with app:
        assert await flows.cancel("a") is Delivery.ACCEPTED
        with pytest.raises(FlowCancelled):
            await flows.completion("a")


async def test_a_list_has_flows_of_all_names_in_the_order_of_their_creation(shared: Apps) -> None:
    await start_old(shared, "a", "b")
    app = shared()
    flows = app.register(after)
    async with app:
        await flows.schedule("c", "")
        await flows.send_message("a", "x")
        await flows.completion("a")
        found = await flows.list()
        assert [info.id for info in found] == ["a", "b", "c"]
        assert [info.id for info in await flows.list(limit=2)] == ["a", "b"]
        assert [info.id for info in await flows.list(after=found[1].number)] == ["c"]
        assert [info.id for info in await flows.list(Status.DONE)] == ["a"]


async def test_a_control_panel_shows_the_flow_of_the_former_name(shared: Apps) -> None:
    await start_old(shared, "a")
    app = shared(suspend_after=AT_ONCE)
    flows = app.register(after)
    async with app:
        await shared.clock.settle()
        panel = await flows.control_panel("a")
        assert panel is not None
        assert panel.id == "a"
        panel.set_param("changed ")
        scheduled = await panel.restart()
        await flows.send_message("a", "x")
        assert await scheduled.completion() == "changed x"


async def test_a_scheduled_start_of_the_former_name_begins_under_the_new_one(
    shared: Apps, clock: VirtualClock
) -> None:
    first = shared()
    old = first.register(before)
    async with first:
        await old.schedule_at("a", datetime(2030, 1, 1, 1, tzinfo=UTC), "a ")
    app = shared()
    flows = app.register(after)
    async with app:
        await flows.send_message("a", "x")
        await clock.advance(HOUR)
        assert await flows.completion("a") == "a x"


async def test_a_type_without_aliases_costs_no_look(apps: Apps) -> None:
    app = apps()
    flows = app.register(without_alias)
    async with app:
        looks: list[str] = []
        store, find = loose(app._store), app._store.find

        async def counted(type: str, id: str) -> Any:
            looks.append(id)
            return await find(type, id)

        store.find = counted
        await flows.schedule("a", "a ")
        await flows.send_message("a", "x")
        await flows.message_writer("a").append("y")
        await flows.send_messages([Envelope("a", "z")])
        await flows.cancel("a")
        assert looks == []


# children


@flow(name="old_child")
async def child_before(text: str) -> str:
    await sleep(HOUR)
    return f"{text}!"


@flow(name="new_child", aliases=["old_child"])
async def child_after(text: str) -> str:
    await sleep(HOUR)
    return f"{text}!"


@flow(name="parent")
async def parent_before(text: str) -> list[str]:
    first = await child_before.run("c1", text)
    await message(str)
    return [first, await child_before.run("c2", first)]


@flow(name="parent")
async def parent_after(text: str) -> list[str]:
    first = await child_after.run("c1", text)
    await message(str)
    return [first, await child_after.run("c2", first)]


@pytest.mark.parametrize("hours", [0, 1])
async def test_a_parent_gets_the_child_that_it_started_under_the_former_name(
    shared: Apps, clock: VirtualClock, hours: int
) -> None:
    first = shared(suspend_after=AT_ONCE)
    parents, _ = first.register(parent_before), first.register(child_before)
    async with first:
        await parents.schedule("p", "x")
        await clock.advance(hours * HOUR)
    app = shared(suspend_after=AT_ONCE)
    parents, _ = app.register(parent_after), app.register(child_after)
    async with app:
        await clock.advance(HOUR)
        await parents.send_message("p", "go on")
        await clock.advance(HOUR)
        assert await parents.completion("p") == ["x!", "x!!"]
        assert (await row(app, "old_child", "c1")).status is Status.DONE
        assert (await row(app, "new_child", "c2")).status is Status.DONE
        assert count_rows(app, "flows") == 3
        # What was recorded under the former name was read there, and not asked for again.
        assert list(stored_effects(app, "p")) == ["message:str", "new_child#2", "old_child"]


@pytest.mark.parametrize("is_over", [False, True])
async def test_a_new_parent_attaches_to_a_child_of_the_former_name(
    shared: Apps, clock: VirtualClock, is_over: bool
) -> None:
    first = shared(suspend_after=AT_ONCE)
    old = first.register(child_before)
    async with first:
        await old.schedule("c", "x")
        await clock.advance(HOUR if is_over else SECOND)

    @flow
    async def parent() -> str:
        return await child_after.run("c", "x")

    app = shared(suspend_after=AT_ONCE)
    parents, _ = app.register(parent), app.register(child_after)
    async with app:
        scheduled = await parents.schedule("p")
        await clock.advance(HOUR)
        assert await scheduled.completion() == "x!"
        assert count_rows(app, "flows") == 2
        # A second incarnation reads the same from the journal.
        assert "new_child" in stored_effects(app, "p")


async def test_the_cancel_of_a_parent_reaches_its_child_of_the_former_name(
    shared: Apps, clock: VirtualClock
) -> None:
    first = shared(suspend_after=AT_ONCE)
    old = first.register(child_before)
    async with first:
        await old.schedule("c", "x")
        await clock.settle()

    @flow
    async def parent() -> str:
        return await child_after.run("c", "x")

    app = shared(suspend_after=AT_ONCE)
    parents, _ = app.register(parent), app.register(child_after)
    async with app:
        await parents.schedule("p")
        await clock.settle()
        await parents.cancel("p")
        await clock.settle()
        assert (await row(app, "parent", "p")).status is Status.CANCELLED
        assert (await row(app, "old_child", "c")).status is Status.CANCELLED


async def test_a_flow_of_the_former_name_cannot_wait_for_itself(shared: Apps) -> None:
    @flow(name="old")
    async def former() -> str:
        return await message(str)

    @flow(name="new", aliases=["old"])
    async def latter() -> str:
        return await latter.run("a")

    first = shared()
    flows = first.register(former)
    async with first:
        await flows.schedule("a")
        await shared.clock.settle()
    app = shared()
    flows = app.register(latter)
    async with app:
        await flows.send_message("a", "wake up")
        await shared.clock.settle()
        panel = await flows.control_panel("a")
        assert panel is not None
        assert panel.error is not None
        assert panel.error.type == "unbroken.model.errors:UsageError"
        assert "would wait for itself" in panel.error.message


async def test_a_flow_keeps_the_name_and_the_version_it_was_started_with(shared: Apps) -> None:
    @flow(name="old")
    async def former() -> str:
        return await message(str)

    @flow(name="new", aliases=["old"], version=3)
    async def latter() -> str:
        await capture("late", str)
        await message(str)
        return f"{current_flow().type} {current_flow().version}"

    first = shared()
    flows = first.register(former)
    async with first:
        await flows.schedule("a")
        await shared.clock.settle()
    app = shared()
    flows = app.register(latter)
    async with app:
        await flows.schedule("b")
        for id in ("a", "b"):
            await flows.send_message(id, "go on")
        assert await flows.completion("a") == "old 1"
        assert await flows.completion("b") == "new 3"
        assert (await row(app, "new", "b")).code == 3
