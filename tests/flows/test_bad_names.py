"""Bad ids, keys and names: refused before anything is written, with advice."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, count_rows, loose, stored_effects
from unbroken import (
    Delivery,
    Envelope,
    FlowFailed,
    InvalidId,
    NameRequired,
    NameTaken,
    NotRegistered,
    PayloadTooLarge,
    capture,
    effect,
    flow,
    message,
    sleep,
)
from unbroken.testing import VirtualClock

HOUR = timedelta(hours=1)


@flow
async def take(value: object) -> None:
    return


@flow
async def double(n: int) -> int:
    return n * 2


@flow
async def wait_for_text() -> str:
    return await message(str)


async def test_a_result_above_the_limit_names_its_key_and_stays_that_failure(
    apps: Apps, clock: VirtualClock
) -> None:
    ran: list[int] = []
    caught: list[str] = []

    @effect(at_most_once=True)
    def report() -> str:
        ran.append(1)
        return "x" * 3000

    @flow
    async def reporting() -> None:
        try:
            await report()
        except PayloadTooLarge as error:
            caught.append(str(error))
        await sleep(HOUR)

    app = apps(payload_limit=2000, suspend_after=AT_ONCE)
    flows = app.register(reporting)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        await flows.completion("a")
    assert ran == [1]
    assert caught[0] == caught[1]
    assert "'report' has 3002 bytes, the limit is 2000" in caught[0]


REFUSED_IDS = ["", "x" * 256, "nul\0inside", "lone \ud800 surrogate", 7, None, b"bytes"]
FAIR_IDS = [
    " ",
    "x ",
    "x",
    "X",
    "'",
    '"',
    "--",
    "; DROP TABLE flows",
    "%",
    "_",
    "\\",
    "new\nline",
    "\u202eright to left",
    "😀",
    "x" * 255,
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "é",
    "e\u0301",
    "ß",
    "SS",
    "ß".upper().lower(),
]


@pytest.mark.parametrize("id", REFUSED_IDS, ids=ascii)
async def test_an_id_that_no_store_may_hold_is_refused_everywhere(apps: Apps, id: Any) -> None:
    app = apps()
    flows = app.register(double)
    async with app:
        calls = [
            lambda: flows.run(id, 1),
            lambda: flows.schedule(id, 1),
            lambda: flows.schedule_in(id, HOUR, 1),
            lambda: flows.schedule_at(id, datetime(2031, 1, 1, tzinfo=UTC), 1),
            lambda: flows.completion(id),
            lambda: flows.send_message(id, "x"),
            lambda: flows.send_messages([Envelope(id, "x")]),
        ]
        for call in calls:
            with pytest.raises(InvalidId, match="flow id"):
                await call()
        with pytest.raises(InvalidId, match="flow id"):
            flows.prepare(id, 1)
        with pytest.raises(InvalidId, match="flow id"):
            flows.message_writer(id)
        assert count_rows(app, "flows") == 0


async def test_hostile_ids_are_kept_as_they_are_and_apart(apps: Apps) -> None:
    app = apps()
    flows = app.register(double)
    distinct = list(dict.fromkeys(FAIR_IDS))
    async with app:
        for number, id in enumerate(distinct):
            assert await flows.run(id, number) == number * 2
        assert [info.id for info in await flows.list()] == distinct
        for number, id in enumerate(distinct):
            assert await flows.completion(id) == number * 2


@pytest.mark.parametrize("key", ["", "x" * 256, "nul\0inside", "lone \ud800", 7], ids=ascii)
async def test_a_message_key_that_no_store_may_hold_is_refused(apps: Apps, key: Any) -> None:
    app = apps()
    flows = app.register(wait_for_text)
    async with app:
        await flows.schedule("a")
        with pytest.raises(InvalidId, match="message key"):
            await flows.send_message("a", "x", key=key)
        assert count_rows(app, "messages") == 0


async def test_a_message_key_of_full_length_is_told_apart_by_its_last_character(apps: Apps) -> None:
    app = apps()
    flows = app.register(wait_for_text)
    async with app:
        await flows.schedule("a")
        keys = ["k" * 254 + end for end in "yzy"]
        answers = await flows.send_messages([Envelope("a", "x", key=key) for key in keys])
        assert answers == [Delivery.ACCEPTED, Delivery.ACCEPTED, Delivery.DUPLICATE]


@pytest.mark.parametrize("name", ["a.b", "a#2", "a/b", "", "x" * 256, "nul\0"])
async def test_a_name_with_our_marks_is_refused_before_the_body_runs(apps: Apps, name: str) -> None:
    ran: list[int] = []

    @flow
    async def naming() -> None:
        await capture(name, lambda: ran.append(1))

    app = apps()
    flows = app.register(naming)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, InvalidId)
        assert stored_effects(app, "a") == {}
    assert ran == []


async def test_a_start_prepared_by_another_handle_is_refused(apps: Apps) -> None:
    app = apps()
    doubles, takes = app.register(double), app.register(take)
    async with app:
        with pytest.raises(NotRegistered, match="was prepared by the handle of 'take'"):
            await loose(doubles).bulk_schedule([takes.prepare("a", 1)])
        assert count_rows(app, "flows") == 0


async def test_a_lambda_needs_a_name(apps: Apps) -> None:
    @flow
    async def capturing() -> None:
        await capture(lambda: 1)

    app = apps()
    flows = app.register(capturing)
    async with app:
        with pytest.raises(FlowFailed, match=r'write capture\("a name", lambda: …\)') as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, NameRequired)


async def test_an_unnamed_capture_in_a_foreign_task_is_refused(apps: Apps) -> None:
    def work() -> int:
        return 1

    async def elsewhere() -> int:
        return await capture(work)

    @flow
    async def starting() -> int:
        return await asyncio.create_task(elsewhere())

    app = apps()
    flows = app.register(starting)
    async with app:
        with pytest.raises(FlowFailed, match=r"use gather\(…\) of unbroken") as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, NameRequired)


async def test_an_unnamed_wait_in_a_foreign_task_is_refused(apps: Apps) -> None:
    async def elsewhere() -> None:
        await sleep(HOUR)

    @flow
    async def starting() -> None:
        await asyncio.create_task(elsewhere())

    app = apps()
    flows = app.register(starting)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, NameRequired)


async def test_a_name_used_twice_in_foreign_tasks_is_refused(apps: Apps) -> None:
    async def elsewhere() -> int:
        return await capture("same", lambda: 1)

    @flow
    async def starting() -> int:
        first = await asyncio.create_task(elsewhere())
        return first + await asyncio.create_task(elsewhere())

    app = apps()
    flows = app.register(starting)
    async with app:
        with pytest.raises(FlowFailed, match="give each its own") as caught:
            await flows.run("a")
        assert isinstance(caught.value.__cause__, NameTaken)
