"""`patched`: two ways through one flow; the way a flow has taken is the one that it stays on."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import LEASE, Apps, Gate, events_of, loose, names_of, stored_effects
from unbroken import (
    FlowFailed,
    FlowParked,
    InvalidId,
    NotInFlow,
    Retry,
    capture,
    current_flow,
    effect,
    flow,
    gather,
    message,
    patched,
    race,
    sleep,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
Code = Callable[[], Any]


def give(text: str) -> str:
    return text


def deployed(code: Code) -> Any:
    return flow(name="deployed")(code)


async def run_until_it_rests(shared: Apps, code: Code) -> None:
    """Start the flow, or go on with it, and stop when it waits."""
    app = shared()
    flows = app.register(deployed(code))
    async with app:
        await flows.schedule("1")
        await shared.clock.settle()


async def finish(shared: Apps, code: Code, *messages: object) -> Any:
    app = shared()
    flows = app.register(deployed(code))
    async with app:
        await shared.clock.settle()
        for one in messages:
            await flows.send_message("1", one)
        return await flows.completion("1")


async def test_a_flow_that_comes_first_with_the_new_code_takes_the_new_way(shared: Apps) -> None:
    async def code() -> list[object]:
        way = await capture(give, "new") if patched("audit") else "old"
        await message(str)
        return [way, patched("audit")]

    await run_until_it_rests(shared, code)
    assert await finish(shared, code, "go") == ["new", True]


async def test_a_flow_that_had_gone_past_stays_on_the_old_way(shared: Apps) -> None:
    async def before() -> None:
        await capture("first", give, "1")
        await capture("second", give, "2")
        await message(str)

    async def after() -> tuple[bool, bool, bool]:
        early = patched("before the first")
        await capture("first", give, "1")
        between = patched("before the second")
        await capture("second", give, "2")
        late = patched("at the end")
        await message(str)
        return early, between, late

    await run_until_it_rests(shared, before)
    assert await finish(shared, after, "go") == (False, False, True)


@pytest.mark.parametrize("restarts", [1, 3])
async def test_the_answer_stays_the_same_on_each_replay(shared: Apps, restarts: int) -> None:
    seen: list[list[bool]] = []

    async def before() -> None:
        await capture("first", give, "1")
        await message(str)

    async def after() -> list[bool]:
        answers = [patched("early")]
        await capture("first", give, "1")
        answers.append(patched("late"))
        await capture("second", give, "2")
        seen.append(answers)
        await message(str)
        return answers

    await run_until_it_rests(shared, before)
    for _ in range(restarts):
        app = shared()
        flows = app.register(deployed(after))
        async with app:
            await flows.send_message("1", b"wakes it, and is not for it")
            await shared.clock.settle()
    assert await finish(shared, after, "go") == [False, True]
    assert seen == [[False, True]] * (restarts + 1)


async def test_the_answer_is_recorded_with_the_next_write(shared: Apps) -> None:
    gate = Gate()

    async def code() -> bool:
        answer = patched("audit")
        if current_flow().incarnation == 1:
            await gate.pass_through()
        await capture("first", give, "1")
        await message(str)
        return answer

    hung, flows = await shared.hang(deployed(code))
    await flows.schedule("1")
    await gate.reached()
    assert stored_effects(hung, "1") == {}
    app = shared()
    flows = app.register(deployed(code))
    async with app:
        await shared.clock.advance(LEASE + SECOND)
        assert stored_effects(app, "1") == {"first": "capture", "patched:audit": "patch"}
        await flows.send_message("1", "go")
        assert await flows.completion("1") is True


async def test_a_loop_changes_its_way_where_the_new_code_came(shared: Apps) -> None:
    async def before() -> None:
        for n in range(4):
            await capture("round", give, str(n))
            await message(str)

    async def after() -> list[str]:
        ways: list[str] = []
        for n in range(4):
            new = patched("rounds")
            ways.append("new" if new else "old")
            await capture("round", give, str(n))
            await message(str)
        return ways

    app = shared()
    flows = app.register(deployed(before))
    async with app:
        await flows.schedule("1")
        await shared.clock.settle()
        await flows.send_message("1", "go")
        await shared.clock.settle()
    await run_until_it_rests(shared, after)
    ways = await finish(shared, after, "go", "go", "go")
    assert ways == ["old", "old", "new", "new"]


async def test_branches_decide_for_themselves(shared: Apps) -> None:
    def branch(name: str, *, asks: bool) -> Code:
        async def code() -> bool | None:
            await capture("first", give, name)
            if name == "ahead":
                await capture("second", give, name)
            answer = patched("in the branch") if asks else None
            if name == "ahead":
                await capture("third", give, name)
            await message(str)
            return answer

        return code

    def version(*, asks: bool) -> Code:
        async def code() -> tuple[object, ...]:
            return await gather(branch("ahead", asks=asks)(), branch("behind", asks=asks)())

        return code

    await run_until_it_rests(shared, version(asks=False))
    assert await finish(shared, version(asks=True), "go", "go") == (False, True)


async def test_a_branch_that_the_flow_has_left_behind_stays_on_the_old_way(shared: Apps) -> None:
    async def branch(*, asks: bool) -> bool | None:
        await capture("in the branch", give, "x")
        return patched("last in the branch") if asks else None

    def version(*, asks: bool) -> Code:
        async def code() -> tuple[object, ...]:
            answers = await gather(branch(asks=asks), branch(asks=asks))
            await capture("after", give, "x")
            await message(str)
            return answers

        return code

    await run_until_it_rests(shared, version(asks=False))
    assert await finish(shared, version(asks=True), "go") == (False, False)


@flow
async def long_child() -> None:
    await message(int)


async def fail() -> None:
    raise LookupError


async def fail_in_a_while() -> None:
    with contextlib.suppress(LookupError):
        await effect(fail, retry=Retry(2, initial_delay=HOUR))()


async def be_cut() -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await message(str)


BEGINNINGS: dict[str, Code] = {
    "retry": fail_in_a_while,
    "message": lambda: message(str, timeout=HOUR),
    "sleep": lambda: sleep(HOUR),
    "at most once": lambda: capture(effect(give, at_most_once=True), "x"),
    "cut": be_cut,
    "child": lambda: long_child.schedule("child"),
}


@pytest.mark.parametrize("beginning", BEGINNINGS)
async def test_what_only_began_is_behind_the_flow_too(shared: Apps, beginning: str) -> None:
    begin = BEGINNINGS[beginning]

    async def before() -> None:
        await begin()
        await message(bytes)

    async def after() -> tuple[bool, bool]:
        first = patched("first line")
        await begin()
        answers = first, patched("second line")
        await message(bytes)
        return answers

    for code in (before, after):
        app = shared()
        flows = app.register(deployed(code))
        app.register(long_child)
        async with app:
            await flows.schedule("1")
            await shared.clock.advance(SECOND)
            if code is after:
                await shared.clock.advance(HOUR)
                await flows.send_message("1", b"go")
                assert await flows.completion("1") == (False, True)


async def test_what_was_only_looked_at_lies_not_ahead(shared: Apps) -> None:
    async def before() -> None:
        await capture("first", give, "1")
        await message(str)

    async def after() -> bool:
        if not current_flow().effects.contains("first"):
            await capture("first", give, "1")
        answer = patched("audit")
        await message(str)
        return answer

    await run_until_it_rests(shared, before)
    assert await finish(shared, after, "go") is True


async def test_a_cleared_away_patch_hinders_no_later_one(shared: Apps) -> None:
    async def before() -> None:
        patched("old matter")
        await capture("first", give, "1")
        await message(str)

    async def after() -> bool:
        await capture("first", give, "1")
        answer = patched("new matter")
        await message(str)
        return answer

    await run_until_it_rests(shared, before)
    app = shared()
    told = events_of(app)
    flows = app.register(deployed(after))
    async with app:
        await flows.send_message("1", "go")
        assert await flows.completion("1") is True
    assert "flow.unread_effects" not in names_of(told)


async def test_the_winner_of_a_race_keeps_its_way(shared: Apps) -> None:
    async def branch(*, asks: bool) -> bool | None:
        answer = patched("in the race") if asks else None
        await capture("first", give, "x")
        return answer

    def version(*, asks: bool) -> Code:
        async def code() -> bool | int | None:
            _, answer = await race(branch(asks=asks), message(int))
            await message(str)
            return answer

        return code

    await run_until_it_rests(shared, version(asks=False))
    assert await finish(shared, version(asks=True), "go") is False


async def test_a_patch_under_a_name_of_another_kind_parks_the_flow(shared: Apps) -> None:
    async def before() -> None:
        await capture("patched:audit", give, "x")
        await message(str)

    async def after() -> None:
        patched("audit")
        await message(str)

    await run_until_it_rests(shared, before)
    with pytest.raises(FlowParked, match="a patch"):
        await finish(shared, after, "go")


async def test_patched_works_only_in_a_flow_itself(apps: Apps) -> None:
    async def body() -> bool:
        return patched("audit")

    @flow
    async def asking() -> None:
        await capture(body)

    with pytest.raises(NotInFlow):
        patched("audit")
    app = apps()
    flows = app.register(asking)
    async with app:
        with pytest.raises(FlowFailed, match="ask in the flow itself"):
            await flows.run("1")


@pytest.mark.parametrize("name", ["", "a/b", "a.b", "a#2", 7], ids=repr)
async def test_a_name_that_cannot_be_one_is_refused(apps: Apps, name: object) -> None:
    @flow
    async def asking() -> None:
        patched(loose(name))

    app = apps()
    flows = app.register(asking)
    async with app:
        with pytest.raises(FlowFailed) as failed:
            await flows.run("1")
    assert failed.value.error.type.endswith(InvalidId.__name__)


async def test_a_crash_before_the_next_write_decides_anew(
    shared: Apps, clock: VirtualClock
) -> None:
    answers: list[bool] = []
    gate = Gate()

    async def code() -> None:
        answers.append(patched("audit"))
        if len(answers) == 1:
            await gate.pass_through()
        await message(str)

    _, flows = await shared.hang(deployed(code))
    await flows.schedule("1")
    await gate.reached()
    app = shared()
    flows = app.register(deployed(code))
    async with app:
        await clock.advance(LEASE + SECOND)
        await flows.send_message("1", "go")
        await flows.completion("1")
    assert answers == [True, True]
