"""Locks: what is refused, with which words, before anything is written."""

from datetime import timedelta

import pytest

from tests.flows.apps import Apps, count_rows, loose
from unbroken import (
    FlowFailed,
    ForgottenAwait,
    InvalidId,
    NameTaken,
    NotInFlow,
    UsageError,
    capture,
    flow,
    lock,
    semaphore,
)

SECOND = timedelta(seconds=1)


async def refusal(apps: Apps, use: object) -> BaseException:
    """Run a flow that does something wrong; give the error, after a look at what was written."""

    @flow
    async def wrong() -> None:
        await loose(use)()

    app = apps()
    flows = app.register(wrong)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a")
        assert count_rows(app, "places") == 0
    assert caught.value.__cause__ is not None
    return caught.value.__cause__


@pytest.mark.parametrize("name", ["", "x" * 256, "a\0b", "\ud800", 7, None])
async def test_a_name_that_is_no_id_is_refused(apps: Apps, name: object) -> None:
    async def use() -> None:
        async with lock(loose(name)):
            pass

    error = await refusal(apps, use)
    assert isinstance(error, InvalidId)
    assert "name of a lock" in str(error)
    with pytest.raises(InvalidId, match="name of a lock"):
        apps().queue(loose(name))


@pytest.mark.parametrize("limit", [0, -1, 10**18])
async def test_a_limit_that_admits_nobody_or_too_many_is_refused(apps: Apps, limit: int) -> None:
    async def use() -> None:
        async with semaphore("x", limit):
            pass

    error = await refusal(apps, use)
    assert isinstance(error, UsageError)
    assert "from 1 to" in str(error)


@pytest.mark.parametrize("limit", [1.5, "3", None, True])
async def test_a_limit_that_is_no_number_is_refused(apps: Apps, limit: object) -> None:
    async def use() -> None:
        async with semaphore("x", loose(limit)):
            pass

    error = await refusal(apps, use)
    assert isinstance(error, TypeError)
    assert "the limit is an int" in str(error)


@pytest.mark.parametrize("name", ["timeout", "suspend_after"])
async def test_a_number_of_seconds_is_refused(apps: Apps, name: str) -> None:
    async def use() -> None:
        async with loose(lock)("x", **{name: 5}):
            pass

    assert "timedelta" in str(await refusal(apps, use))


async def test_a_lock_object_is_entered_once(apps: Apps) -> None:
    async def use() -> None:
        same = lock("x")
        async with same:
            pass
        async with same:
            pass

    error = await refusal(apps, use)
    assert isinstance(error, UsageError)
    assert "write `async with lock(…)` each time" in str(error)


async def test_a_lock_that_nobody_enters_is_told(apps: Apps) -> None:
    async def use() -> None:
        lock("inventory/42")

    error = await refusal(apps, use)
    assert isinstance(error, ForgottenAwait)
    assert "lock:inventory%2F42" in str(error)


async def test_a_body_takes_no_lock(apps: Apps) -> None:
    async def body() -> None:
        async with lock("x"):
            pass

    async def use() -> None:
        await capture("body", body)

    error = await refusal(apps, use)
    assert isinstance(error, NotInFlow)
    assert "captured body" in str(error)


def test_outside_of_a_flow_there_is_no_lock() -> None:
    with pytest.raises(NotInFlow, match="running flow"):
        lock("x")
    with pytest.raises(NotInFlow, match="running flow"):
        semaphore("x", 2, timeout=SECOND)


async def test_a_lock_is_taken_once_in_tasks_of_the_users(apps: Apps) -> None:
    import asyncio

    async def locked() -> None:
        async with lock("x"):
            pass

    async def use() -> None:
        await asyncio.gather(locked(), locked())

    assert isinstance(await refusal(apps, use), NameTaken)
