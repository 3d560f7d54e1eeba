"""Logging in flows: said once although the code runs again, and each record names its flow."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, LEASE, Apps, Gate, names_of
from unbroken import (
    FlowParked,
    InitialState,
    ReplayFilter,
    capture,
    current_flow,
    flow,
    gather,
    message,
    patched,
    sleep,
)
from unbroken.engine.events import Event
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


class Heard(logging.Handler):
    """Keeps the records that reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def heard() -> Heard:
    """Give what a filtered handler of the users' own logger hears."""
    handler = Heard()
    handler.addFilter(ReplayFilter())
    return handler


@pytest.fixture
def log(heard: Heard) -> Iterator[logging.Logger]:
    logger = logging.getLogger("shop")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(heard)
    yield logger
    logger.removeHandler(heard)


def give(n: int) -> int:
    return n


async def run_to_the_end(apps: Apps, clock: VirtualClock, definition: Any) -> Any:
    """Run a flow that leaves memory at each wait."""
    app = apps(suspend_after=AT_ONCE)
    flows = app.register(definition)
    async with app:
        scheduled = await flows.schedule("1")
        for _ in range(3):
            await clock.advance(HOUR)
        return await scheduled.completion()


async def test_each_line_is_logged_once_although_the_code_runs_again(
    apps: Apps, clock: VirtualClock, log: logging.Logger, heard: Heard
) -> None:
    incarnations: list[int] = []

    @flow
    async def talking() -> None:
        incarnations.append(current_flow().incarnation)
        log.info("begins")
        await capture("first", give, 1)
        log.info("first is done")
        await sleep(HOUR)
        log.info("slept")
        await capture("second", give, 2)
        log.info("second is done")
        await message(str, timeout=HOUR)
        log.info("waited")
        await capture("third", give, 3)
        await sleep(HOUR)
        log.info("ends")

    await run_to_the_end(apps, clock, talking)
    assert heard.texts() == [
        "begins",
        "first is done",
        "slept",
        "second is done",
        "waited",
        "ends",
    ]
    assert incarnations == [1, 2, 3, 4]


async def test_each_record_has_type_id_and_incarnation(
    apps: Apps, clock: VirtualClock, log: logging.Logger, heard: Heard
) -> None:
    @flow
    async def talking() -> None:
        log.info("begins")
        await sleep(HOUR)
        log.info("ends")

    await run_to_the_end(apps, clock, talking)
    assert [fields_of(record) for record in heard.records] == [
        {"flow_type": "talking", "flow_id": "1", "incarnation": 1},
        {"flow_type": "talking", "flow_id": "1", "incarnation": 2},
    ]


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    return {name: vars(record)[name] for name in ("flow_type", "flow_id", "incarnation")}


def test_records_from_outside_of_flows_pass_with_empty_fields(
    log: logging.Logger, heard: Heard
) -> None:
    log.info("outside")
    (record,) = heard.records
    assert fields_of(record) == {"flow_type": None, "flow_id": None, "incarnation": None}


def test_the_filter_selects_by_the_loggers_name_too(heard: Heard) -> None:
    handler = Heard()
    handler.addFilter(ReplayFilter("shop.orders"))
    loggers = [logging.getLogger(name) for name in ("shop.orders.new", "shop.invoices")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.warning(logger.name)
        logger.removeHandler(handler)
    assert handler.texts() == ["shop.orders.new"]


async def test_a_line_in_a_body_or_branch_is_logged_with_its_flow(
    apps: Apps, log: logging.Logger, heard: Heard
) -> None:
    def in_a_thread() -> None:
        log.info("in a thread")

    async def branch(n: int) -> None:
        log.info("in branch %d", n)
        await capture(in_a_thread)

    @flow
    async def talking() -> None:
        await gather(branch(1), branch(2))

    app = apps()
    flows = app.register(talking)
    async with app:
        await flows.run("1")
    assert heard.texts().count("in a thread") == 2
    assert {record.__dict__["flow_id"] for record in heard.records} == {"1"}


async def test_a_line_after_a_crash_may_come_twice_but_never_not_at_all(
    shared: Apps, log: logging.Logger, heard: Heard
) -> None:
    gate = Gate()

    @flow
    async def talking() -> None:
        log.info("begins")
        if current_flow().incarnation == 1:
            await gate.pass_through()
        await capture(give, 1)
        log.info("ends")

    _, flows = await shared.hang(talking)
    await flows.schedule("1")
    await gate.reached()
    app = shared()
    flows = app.register(talking)
    async with app:
        await shared.clock.advance(LEASE + SECOND)
        await flows.completion("1")
    assert heard.texts() == ["begins", "begins", "ends"]


async def test_what_a_new_patch_says_is_logged(
    shared: Apps, log: logging.Logger, heard: Heard
) -> None:
    async def before() -> None:
        await capture(give, 1)
        log.info("first is done")
        await message(str)

    async def after() -> None:
        await capture(give, 1)
        log.info("first is done")
        if patched("talkative"):
            log.info("on the new way")
        await message(str)

    for code in (before, after):
        app = shared()
        flows = app.register(flow(name="talking")(code))
        async with app:
            await flows.schedule("1")
            await shared.clock.settle()
            if code is after:
                await flows.send_message("1", "go")
                await flows.completion("1")
    assert heard.texts() == ["first is done", "on the new way"]


async def test_a_flow_that_starts_with_preset_effects_is_no_replay(
    apps: Apps, log: logging.Logger, heard: Heard
) -> None:
    @flow
    async def talking() -> bool:
        log.info("begins")
        return current_flow().replaying or await capture("preset", bool)

    app = apps()
    flows = app.register(talking)
    async with app:
        preset = flows.options(initial=InitialState(effects={"preset": False}))
        assert await preset.run("1") is False
    assert heard.texts() == ["begins"]


async def test_the_flows_own_logger_needs_no_filter(
    apps: Apps, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "unbroken.flow")

    @flow
    async def talking() -> None:
        current_flow().logger.info("begins", extra={"color": "red"})
        await sleep(HOUR)
        current_flow().logger.debug("slept %s", "well")
        await sleep(HOUR)

    await run_to_the_end(apps, clock, talking)
    records = [one for one in caplog.records if one.name == "unbroken.flow.talking"]
    assert [record.getMessage() for record in records] == ["begins", "slept well"]
    assert fields_of(records[0]) == {"flow_type": "talking", "flow_id": "1", "incarnation": 1}
    assert vars(records[0])["color"] == "red"


async def test_its_level_is_that_of_logging(apps: Apps, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "unbroken.flow")

    @flow
    async def talking() -> bool:
        logger = current_flow().logger
        logger.info("too quiet")
        return logger.isEnabledFor(logging.INFO)

    app = apps()
    flows = app.register(talking)
    async with app:
        assert await flows.run("1") is False
    assert "too quiet" not in caplog.text


async def test_replaying_ends_with_the_first_thing_that_is_not_recorded(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[list[bool]] = []

    @flow
    async def looking() -> None:
        answers = [current_flow().replaying]
        seen.append(answers)
        await capture("first", give, 1)
        answers.append(current_flow().replaying)
        await message(str, timeout=HOUR)
        answers.append(current_flow().replaying)
        await capture("second", give, 1)
        answers.append(current_flow().replaying)

    await run_to_the_end(apps, clock, looking)
    assert seen == [[False, False], [True, True, False, False]]


async def test_what_the_engine_says_of_a_flow_passes_the_filter_even_in_a_replay(
    shared: Apps, heard: Heard
) -> None:
    async def before() -> None:
        await capture("sleep", give, 1)
        await message(str)

    async def after() -> None:
        await sleep(HOUR)

    engine = logging.getLogger("unbroken")
    engine.addHandler(heard)
    try:
        for code in (before, after):
            app = shared()
            told: list[Event] = []
            app.subscribe(told.append)
            flows = app.register(flow(name="talking")(code))
            async with app:
                await flows.schedule("1")
                await flows.send_message("1", 7)
                await shared.clock.settle()
                if code is after:
                    with pytest.raises(FlowParked):
                        await flows.completion("1")
    finally:
        engine.removeHandler(heard)
    assert "flow.parked" in names_of(told)
    assert any(text.startswith("flow.parked") for text in heard.texts())
