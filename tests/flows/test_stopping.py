"""Life of an app: starting, stopping with grace, handing over, and use at the wrong time."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from tests.flows.apps import AT_ONCE, Apps, Gate, count_rows, jump, row, stored_effects
from unbroken import (
    AppNotRunning,
    ConfigurationError,
    EffectInterrupted,
    Status,
    StoreUnavailable,
    Unbroken,
    capture,
    current_flow,
    effect,
    flow,
    message,
    postpone,
    sleep,
)
from unbroken.testing import VirtualClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@flow
async def wait_for_text() -> str:
    return await message(str)


@flow
async def nothing() -> None:
    return


async def test_a_stop_lets_a_running_effect_end_and_records_it(shared: Apps) -> None:
    gate, ran = Gate(), []

    async def ship() -> str:
        ran.append(1)
        await gate.pass_through()
        return "T"

    @flow
    async def order() -> str:
        tracking = await capture(ship)
        await capture("later", lambda: ran.append(2))
        return tracking

    app = shared()
    flows = app.register(order)
    await app.start()
    await flows.schedule("a")
    await gate.reached()
    stopping = asyncio.create_task(app.stop(HOUR))
    await asyncio.sleep(0)
    assert not stopping.done()
    gate.open()
    await stopping
    assert ran == [1]

    other = shared()
    flows = other.register(order)
    async with other:
        assert stored_effects(other, "a").keys() >= {"ship"}
        assert await flows.completion("a") == "T"
    assert ran == [1, 2]


async def test_a_stop_hands_flows_over_without_a_lease_to_wait_for(shared: Apps) -> None:
    app = shared()
    flows = app.register(wait_for_text)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
        assert (await row(app, "wait_for_text", "a")).owner is not None
    other = shared()
    flows = other.register(wait_for_text)
    async with other:
        assert (await row(other, "wait_for_text", "a")).owner is None
        await flows.send_message("a", "hello")
        assert await flows.completion("a") == "hello"


async def test_an_effect_that_outlasts_the_grace_is_cut_and_runs_again_elsewhere(
    shared: Apps,
) -> None:
    gate, ran = Gate(), []

    async def ship() -> str:
        ran.append("begun")
        if len(ran) == 1:
            try:
                await gate.pass_through()
            except asyncio.CancelledError:
                ran.append("cut")
                raise
        return "T"

    @flow
    async def order() -> str:
        return await capture(ship)

    app = shared()
    flows = app.register(order)
    await app.start()
    await flows.schedule("a")
    await gate.reached()
    stopping = asyncio.create_task(app.stop(10 * SECOND))
    await asyncio.sleep(0)
    assert not stopping.done()
    await jump(shared.clock, 10 * SECOND)
    await stopping

    other = shared()
    flows = other.register(order)
    async with other:
        assert await flows.completion("a") == "T"
    assert ran == ["begun", "cut", "begun"]


async def test_an_at_most_once_effect_cut_by_a_stop_has_an_unknown_outcome(shared: Apps) -> None:
    gate, ran = Gate(), []

    @effect(at_most_once=True)
    async def ship() -> None:
        ran.append(1)
        await gate.pass_through()

    @flow
    async def order() -> str:
        try:
            await ship()
        except EffectInterrupted:
            return "unknown"
        return "shipped"

    app = shared()
    flows = app.register(order)
    await app.start()
    await flows.schedule("a")
    await gate.reached()
    await app.stop(AT_ONCE)
    other = shared()
    flows = other.register(order)
    async with other:
        assert await flows.completion("a") == "unknown"
    assert ran == [1]


async def test_a_stop_returns_at_once_when_flows_only_wait(
    apps: Apps, clock: VirtualClock
) -> None:
    @flow
    async def polite() -> None:
        await postpone(HOUR)

    @flow
    async def sleepy() -> None:
        await sleep(HOUR)

    app = apps()
    waits, polites, sleepies = (app.register(one) for one in (wait_for_text, polite, sleepy))
    await app.start()
    for flows in (waits, polites, sleepies):
        await flows.schedule("a")
    await clock.settle()
    before = clock.monotonic()
    await app.stop(HOUR)
    assert clock.monotonic() == before


async def test_after_a_stop_no_code_runs_and_nothing_is_written(shared: Apps) -> None:
    gate, ran = Gate(), []

    @flow
    async def order() -> None:
        ran.append("before")
        try:
            await capture("held", gate.pass_through)
        finally:
            await capture("compensate", lambda: ran.append("compensated"))

    app = shared()
    flows = app.register(order)
    await app.start()
    await flows.schedule("a")
    await gate.reached()
    await app.stop(AT_ONCE)
    gate.open()
    for _ in range(10):
        await asyncio.sleep(0)
    assert ran == ["before"]
    assert stored_effects(app, "a") == {}


async def test_an_app_that_stopped_may_start_again(shared: Apps) -> None:
    app = shared()
    flows = app.register(wait_for_text)
    async with app:
        await flows.schedule("a")
    async with app:
        await flows.send_message("a", "hello")
        assert await flows.completion("a") == "hello"


async def test_a_second_stop_does_nothing(apps: Apps) -> None:
    app = apps()
    await app.start()
    await app.stop()
    await app.stop()


async def test_whoever_waits_when_the_app_stops_is_told(apps: Apps, clock: VirtualClock) -> None:
    app = apps()
    flows = app.register(wait_for_text)
    async with app:
        waiting = asyncio.create_task(flows.run("a"))
        await clock.settle()
    with pytest.raises(AppNotRunning, match="stopped before the flow ended"):
        await waiting


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
    app.subscribe(lambda event: event.name == "replica.registered" and running.set())
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
    app.subscribe(lambda event: event.name == "replica.registered" and running.set())
    serving = asyncio.create_task(app.serve(HOUR))
    await running.wait()
    while app._engine is None or not hasattr(app._engine, "poller"):
        await asyncio.sleep(0)
    await flows.schedule("a")
    await gate.reached()
    os.kill(os.getpid(), signal.SIGINT)
    while not app._engine._is_stopping:
        await asyncio.sleep(0)
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
        Unbroken("sqlite://", **setting)  # pyright: ignore


@pytest.mark.parametrize("url", ["", "orders.db", "oracle://x", "sqlite:/one", "sqlite://host/x.db"])
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Unbroken(url)


async def test_a_flow_in_memory_at_the_stop_runs_its_finally_but_records_nothing_there(
    shared: Apps,
) -> None:
    said: list[str] = []

    @asynccontextmanager
    async def resource():
        said.append("open")
        try:
            yield
        finally:
            said.append("close")

    @flow
    async def holding() -> str:
        async with resource():
            return await message(str)

    app = shared()
    flows = app.register(holding)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
    assert said == ["open", "close"]
    assert (await _status(shared, holding)) is Status.LIVE


async def _status(shared: Apps, definition) -> Status:
    client = shared(execute=False)
    flows = client.register(definition)
    async with client:
        (info,) = await flows.list()
    return info.status


async def test_blocking_code_is_reported_with_its_line(shared: Apps, monkeypatch) -> None:
    """The loop's watcher is asked directly: a test must not block for seconds."""
    app = shared()
    told = []
    app.subscribe(told.append)
    async with app:
        app._watch._report(1)  # pyright: ignore
    (event,) = [one for one in told if one.name == "loop.blocked"]
    assert "test_stopping.py" in event.text or "watch.py" in event.text
    assert "unbroken.sleep" in event.text


async def test_flow_code_knows_that_it_replays(shared: Apps) -> None:
    seen: list[bool] = []

    @flow
    async def telling() -> None:
        seen.append(current_flow().replaying)
        await capture("one", lambda: 1)
        seen.append(current_flow().replaying)
        await message(str)

    app = shared()
    flows = app.register(telling)
    async with app:
        await flows.schedule("a")
        await shared.clock.settle()
    async with app:
        await flows.send_message("a", "go")
        await flows.completion("a")
    assert seen == [False, False, True, True]
