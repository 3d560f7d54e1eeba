"""Group commit as callers feel it: one write for many, an error for the guilty one alone."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.flows.apps import Apps, count_rows, events_of, loose, names_of
from unbroken import (
    BatchRefused,
    Delivery,
    Envelope,
    StoreUnavailable,
    Unbroken,
    capture,
    flow,
    message,
)
from unbroken.model.errors import OutcomeUnknown
from unbroken.stores.batch import Batch


@flow
async def listen() -> str:
    return await message(str)


@flow
async def one_effect(n: int) -> int:
    return await capture("double", lambda: n * 2)


class Commits:
    """Watches the batches of an app, and may fail them."""

    def __init__(self, app: Unbroken) -> None:
        self.batches: list[Batch] = []
        self.before: Callable[[Batch], None] = lambda batch: None
        self.after: Callable[[Batch], None] = lambda batch: None
        self._commit = app._store.commit
        loose(app)._store.commit = self._watched

    async def _watched(self, batch: Batch) -> Any:
        self.before(batch)
        self.batches.append(batch)
        receipt = await self._commit(batch)
        self.after(batch)
        return receipt


async def test_a_single_write_goes_out_at_once_and_alone(apps: Apps) -> None:
    app = apps()
    flows = app.register(listen)
    async with app:
        await flows.schedule("a")
        await apps.clock.settle()
        commits = Commits(app)
        assert await flows.send_message("a", "hello") is Delivery.ACCEPTED
        assert len(commits.batches) == 1


async def test_writes_that_come_together_share_a_transaction(apps: Apps) -> None:
    app = apps()
    flows = app.register(listen)
    async with app:
        await apps.clock.settle()
        commits = Commits(app)
        await asyncio.gather(*(flows.schedule(str(n)) for n in range(100)))
        assert len(commits.batches) <= 3
        await apps.clock.settle()
        commits.batches.clear()
        await flows.send_messages([Envelope(str(n), "hello") for n in range(100)])
        assert len(commits.batches) <= 3


async def test_effects_of_many_flows_share_transactions(apps: Apps) -> None:
    app = apps()
    flows = app.register(one_effect)
    async with app:
        await apps.clock.settle()
        commits = Commits(app)
        results = await asyncio.gather(*(flows.run(str(n), n) for n in range(200)))
        assert results == [n * 2 for n in range(200)]
        assert len(commits.batches) < 60


async def test_an_outage_reaches_nobody_and_everything_is_written_after_it(apps: Apps) -> None:
    app = apps()
    told = events_of(app)
    flows = app.register(one_effect)
    async with app:
        await apps.clock.settle()
        commits = Commits(app)
        outages = [StoreUnavailable("the disk is full")] * 3

        def fail(batch: Batch) -> None:
            if outages:
                raise outages.pop()

        commits.before = fail
        running = [asyncio.create_task(flows.run(str(n), n)) for n in range(10)]
        while any(not task.done() for task in running):
            await asyncio.sleep(0)
            _let_time_pass(apps)
        assert [task.result() for task in running] == [n * 2 for n in range(10)]
    assert names_of(told).count("store.unavailable") == 3


def _let_time_pass(apps: Apps) -> None:
    """Move the clock for pauses between tries, which count as busy."""
    clock = apps.clock
    clock._elapsed += 0.01
    for timer in [timer for timer in clock._timers if timer.when <= clock._elapsed]:
        clock._timers.remove(timer)
        if not timer.cancelled:
            timer.cancelled = True
            timer.callback()
    clock._timers.sort()


async def test_a_batch_that_the_database_refuses_fails_the_guilty_request_alone(
    apps: Apps,
) -> None:
    app = apps()
    flows = app.register(listen)
    async with app:
        await asyncio.gather(*(flows.schedule(str(n)) for n in range(8)))
        await apps.clock.settle()
        commits = Commits(app)

        def refuse(batch: Batch) -> None:
            if any(getattr(change, "id", None) == "3" for change in batch.changes):
                raise BatchRefused("a value that no column takes")

        commits.before = refuse
        sends = [asyncio.create_task(flows.send_message(str(n), "hello")) for n in range(8)]
        answers = await asyncio.gather(*sends, return_exceptions=True)
        assert isinstance(answers[3], BatchRefused)
        assert [one for one in answers if one is not answers[3]] == [Delivery.ACCEPTED] * 7
        commits.before = lambda batch: None
        assert await flows.send_message("3", "again") is Delivery.ACCEPTED
        assert await flows.completion("3") == "again"


@pytest.mark.parametrize("landed", [True, False])
async def test_an_unknown_outcome_is_settled_and_nobody_notices(
    apps: Apps, *, landed: bool
) -> None:
    app = apps()
    flows = app.register(one_effect)
    async with app:
        await apps.clock.settle()
        commits = Commits(app)
        unknown = [OutcomeUnknown("the connection broke at COMMIT")]

        def fail(batch: Batch) -> None:
            if batch.records and unknown:
                raise unknown.pop()

        if landed:
            commits.after = fail
        else:
            commits.before = fail
        assert await flows.run("a", 4) == 8
        assert unknown == []
        assert count_rows(app, "effects") == 1


@pytest.mark.parametrize("landed", [True, False])
async def test_a_message_with_an_unknown_outcome_is_stored_once(
    apps: Apps, *, landed: bool
) -> None:
    app = apps()
    flows = app.register(listen)
    async with app:
        await flows.schedule("a")
        await apps.clock.settle()
        commits = Commits(app)
        unknown = [OutcomeUnknown("the connection broke at COMMIT")]

        def fail(batch: Batch) -> None:
            if batch.changes and unknown:
                raise unknown.pop()

        if landed:
            commits.after = fail
        else:
            commits.before = fail
        delivery = await flows.send_message("a", "hello")
        assert delivery in {Delivery.ACCEPTED, Delivery.DUPLICATE}
        assert await flows.completion("a") == "hello"
        assert count_rows(app, "messages") == 1


@pytest.mark.parametrize("landed", [True, False])
async def test_a_start_with_an_unknown_outcome_is_one_flow_that_runs_once(
    apps: Apps, *, landed: bool
) -> None:
    ran: list[int] = []

    @flow
    async def once() -> str:
        ran.append(1)
        return "done"

    app = apps()
    flows = app.register(once)
    async with app:
        await apps.clock.settle()
        commits = Commits(app)
        unknown = [OutcomeUnknown("the connection broke at COMMIT")]

        def fail(batch: Batch) -> None:
            if batch.starts and unknown:
                raise unknown.pop()

        if landed:
            commits.after = fail
        else:
            commits.before = fail
        assert await flows.run("a") == "done"
        assert count_rows(app, "flows") == 1
    assert ran == [1]
