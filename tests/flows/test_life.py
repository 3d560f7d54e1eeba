"""Life of an app: settings, starting, signals, forks, and use at the wrong time."""

import asyncio
import os
import signal
from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, Gate, count_rows, loose, until
from unbroken import (
    AppNotRunning,
    ConfigurationError,
    StoreUnavailable,
    Unbroken,
    capture,
    flow,
    message,
)
from unbroken.engine.events import Event
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@flow
async def wait_for_text() -> str:
    return await message(str)


@flow
async def nothing() -> None:
    return


async def test_an_app_that_stopped_may_start_again(shared: Apps) -> None:
    app = shared()
    flows = app.register(wait_for_text)
    async with app:
        await flows.schedule("a")
    async with app:
        await flows.send_message("a", "hello")
        assert await flows.completion("a") == "hello"


@pytest.mark.parametrize("moment", ["before the start", "after the stop"])
async def test_a_handle_of_an_app_that_does_not_run_says_so(apps: Apps, moment: str) -> None:
    app = apps()
    flows = app.register(wait_for_text)
    if moment == "after the stop":
        async with app:
            pass
    calls = {
        "run": lambda: flows.run("a"),
        "schedule": lambda: flows.schedule("a"),
        "schedule_in": lambda: flows.schedule_in("a", HOUR),
        "bulk_schedule": lambda: flows.bulk_schedule([flows.prepare("a")]),
        "completion": lambda: flows.completion("a"),
        "send_message": lambda: flows.send_message("a", "x"),
        "send_messages": lambda: flows.send_messages([]),
        "append": lambda: flows.message_writer("a").append("x"),
        "list": flows.list,
    }
    for call in calls.values():
        with pytest.raises(AppNotRunning, match="async with app"):
            await call()


async def test_a_second_start_is_refused(apps: Apps) -> None:
    app = apps()
    async with app:
        with pytest.raises(AppNotRunning, match="running already"):
            await app.start()


async def test_a_start_that_fails_leaves_an_app_that_may_start_later(
    clock: VirtualClock, tmp_path
) -> None:
    place = tmp_path / "later"
    app = Unbroken(f"sqlite:///{place / 'a.db'}", clock=clock)
    flows = app.register(nothing)
    with pytest.raises(StoreUnavailable, match="cannot open"):
        await app.start()
    place.mkdir()
    async with app:
        assert await flows.run("a") is None


async def test_the_constructor_touches_nothing(tmp_path) -> None:
    app = Unbroken(f"sqlite:///{tmp_path / 'a.db'}")
    app.register(nothing)
    assert list(tmp_path.iterdir()) == []


async def test_serve_runs_until_a_signal_comes(apps: Apps) -> None:
    app = apps()
    flows = app.register(wait_for_text)
    running = asyncio.Event()
    app.subscribe(lambda event: _note(event, running))
    serving = asyncio.create_task(app.serve())
    await running.wait()
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    await serving
    with pytest.raises(AppNotRunning):
        await flows.schedule("a")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_a_second_signal_ends_the_grace(apps: Apps) -> None:
    gate = Gate()

    @flow
    async def held() -> None:
        await capture(gate.pass_through)

    app = apps()
    flows = app.register(held)
    running = asyncio.Event()
    app.subscribe(lambda event: _note(event, running))
    serving = asyncio.create_task(app.serve(HOUR))
    await running.wait()
    await until(lambda: hasattr(app._engine, "poller"))
    await flows.schedule("a")
    await gate.reached()
    os.kill(os.getpid(), signal.SIGINT)
    await until(lambda: loose(app)._engine._is_stopping)
    assert not serving.done()
    os.kill(os.getpid(), signal.SIGINT)
    await serving


async def test_a_started_app_refuses_to_work_in_a_forked_process(apps: Apps) -> None:
    app = apps()
    flows = app.register(nothing)
    async with app:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                flows.run("a").send(None)
                answer = "nothing was raised"
            except BaseException as error:
                answer = f"{type(error).__name__}: {error}"
            os.write(writing, answer.encode())
            os._exit(0)
        os.close(writing)
        os.waitpid(child, 0)
        with os.fdopen(reading) as pipe:
            answer = pipe.read()
        assert await flows.run("b") is None
        assert count_rows(app, "flows") == 1
    assert answer.startswith("AppNotRunning:")
    assert "post_fork" in answer


@pytest.mark.parametrize(
    "setting",
    [
        {"concurrency": 0},
        {"lease": AT_ONCE},
        {"poll_interval": AT_ONCE},
        {"suspend_after": -SECOND},
        {"warm_limit": -1},
        {"retention": -SECOND},
        {"payload_limit": 10},
        {"poison_after": 0},
    ],
)
def test_a_setting_out_of_its_range_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(setting))):
        loose(Unbroken)("sqlite://", **setting)


@pytest.mark.parametrize(
    "url", ["", "orders.db", "oracle://x", "sqlite:/one", "sqlite://host/x.db"]
)
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Unbroken(url)


async def test_blocking_code_is_reported_with_its_line(apps: Apps) -> None:
    """What the watching thread would say is asked of it directly: a test must not block."""
    app = apps()
    told: list[Event] = []
    app.subscribe(told.append)
    async with app:
        await asyncio.to_thread(loose(app)._watch._report, 3)
    (event,) = [one for one in told if one.name == "loop.blocked"]
    assert "has not turned for 3 s" in event.text
    assert "unbroken.sleep" in event.text


def _note(event: Event, running: asyncio.Event) -> None:
    if event.name == "replica.registered":
        running.set()
