"""Errors: the same `except` clause catches live, on replay, and after a kill in a fresh process."""

import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.flows.apps import AT_ONCE, Apps
from tests.flows.foreign_errors import EFFECT_FAILED, KINDS, SAME_CLASS
from unbroken import EffectFailed, FlowFailed, capture, flow, sleep
from unbroken.testing import VirtualClock

ROOT = Path(__file__).resolve().parents[2]
HOUR = timedelta(hours=1)

Caught = dict[str, list[str]]


def run(*arguments: str) -> tuple[int, Caught]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.flows.foreign_errors", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Caught, Caught]:
    """What was caught by a process that was killed, and by the one that took over."""
    url = f"sqlite:///{tmp_path_factory.mktemp('foreign') / 'errors.db'}"
    code, live = run(url)
    assert code == -signal.SIGKILL
    code, replayed = run(url, "again")
    assert code == 0
    return live, replayed


def test_at_least_ten_classes_of_other_libraries_are_tried() -> None:
    modules = {expected.__module__.partition(".")[0] for _, expected in SAME_CLASS.values()}
    others = modules - {"builtins", "tests"}
    assert len([kind for kind in SAME_CLASS if "." in kind]) >= 10
    assert len(others) >= 5


@pytest.mark.crash
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_except_clause_catches_live_and_in_a_fresh_process_after_a_kill(
    runs: tuple[Caught, Caught], kind: str
) -> None:
    live, replayed = runs
    assert not live[kind][0].startswith("missed")
    assert replayed[kind] == live[kind]


@pytest.mark.crash
@pytest.mark.parametrize("kind", EFFECT_FAILED)
def test_what_cannot_be_rebuilt_is_effect_failed_from_the_first_time_on(
    runs: tuple[Caught, Caught], kind: str
) -> None:
    name, text = runs[0][kind]
    assert name == "EffectFailed"
    assert kind.rpartition(".")[2] in text


class Shortage(Exception):
    def __init__(self, item: str, *, wanted: int) -> None:
        super().__init__(item)
        self.item = item
        self.wanted = wanted
        self.socket = object()


async def test_an_error_keeps_its_plain_attributes_and_loses_the_others_live_too(
    apps: Apps, clock: VirtualClock
) -> None:
    seen: list[tuple[str, int, bool]] = []

    def buy() -> None:
        raise Shortage("book", wanted=3)

    @flow
    async def buying() -> None:
        try:
            await capture(buy)
        except Shortage as error:
            seen.append((error.item, error.wanted, hasattr(error, "socket")))
        await sleep(HOUR)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(buying)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        await flows.completion("a")
    assert seen == [("book", 3, False)] * 2


async def test_the_error_of_the_first_run_keeps_its_cause_for_whoever_debugs(apps: Apps) -> None:
    original = ValueError("the live one")

    def fails() -> None:
        raise original

    @flow
    async def failing() -> bool:
        try:
            await capture(fails)
        except ValueError as error:
            return error is not original and error.__cause__ is original
        return False

    app = apps()
    flows = app.register(failing)
    async with app:
        assert await flows.run("a") is True


async def test_an_effect_failed_is_not_wrapped_twice(apps: Apps, clock: VirtualClock) -> None:
    caught: list[str] = []

    def fails() -> None:
        raise EffectFailed("shop:Unknown", "gone")

    @flow
    async def failing() -> None:
        try:
            await capture(fails)
        except EffectFailed as error:
            caught.append(f"{error.type} {error.message}")
        await sleep(HOUR)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(failing)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        await flows.completion("a")
    assert caught == ["shop:Unknown gone"] * 2


async def test_an_error_raised_from_an_effects_error_is_the_flows_own(apps: Apps) -> None:
    def fails() -> None:
        raise LookupError("inside")

    @flow
    async def outer() -> None:
        try:
            await capture(fails)
        except LookupError as error:
            raise RuntimeError("outside") from error

    app = apps()
    flows = app.register(outer)
    async with app:
        with pytest.raises(FlowFailed) as caught:
            await flows.run("a")
    assert (caught.value.error.type, caught.value.error.message) == ("RuntimeError", "outside")
    assert "LookupError: inside" in caught.value.error.traceback


async def test_a_class_made_inside_a_function_is_caught_on_replay_too(
    apps: Apps, clock: VirtualClock
) -> None:
    class Local(Exception):
        pass

    caught: list[str] = []

    def fails() -> None:
        raise Local("here")

    @flow
    async def failing() -> None:
        try:
            await capture(fails)
        except Local as error:
            caught.append(str(error))
        await sleep(HOUR)

    app = apps(suspend_after=AT_ONCE)
    flows = app.register(failing)
    async with app:
        await flows.schedule("a")
        await clock.advance(HOUR)
        await flows.completion("a")
    assert caught == ["here", "here"]
