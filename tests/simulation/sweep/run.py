"""One run: a scenario, who takes part, and the blows that fall; then the verdict."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any

import msgspec

from tests.crash import ledger
from tests.crash.checker import check
from tests.crash.checker.history import History
from tests.crash.ledger import Line
from tests.simulation.loop import Stuck
from tests.simulation.sweep.faults import Blow
from tests.simulation.sweep.scenario import Scenario, User
from tests.simulation.sweep.stage import GRACE, Stage
from unbroken.model.errors import OutcomeUnknown, ParamIgnored, StoreUnavailable

PATIENCE = 150.0
PAUSE = 0.1


class Layout(Enum):
    """Which processes there are."""

    ALONE = "alone"
    """One that uses the flows and runs them."""
    BESIDE = "beside"
    """One that uses the flows and runs them, and another that runs them."""
    APART = "apart"
    """One that uses the flows, and two that run them."""

    @property
    def servers(self) -> tuple[str, ...]:
        """Name the processes that only run flows."""
        return {Layout.ALONE: (), Layout.BESIDE: ("A",), Layout.APART: ("A", "B")}[self]


class Verdict(msgspec.Struct):
    """What a run found."""

    violations: list[str]
    passed: list[str]
    results: dict[str, Any]
    met: dict[str, int]
    lines: list[Line]


class Run:
    """A scenario under blows. `expected` are the results of a run without any."""

    def __init__(
        self,
        scenario: Scenario,
        layout: Layout,
        blows: Sequence[Blow] = (),
        expected: dict[str, Any] | None = None,
    ) -> None:
        self._scenario = scenario
        self._layout = layout
        self._expected = expected
        self._stage = Stage(blows)

    def judge(self) -> Verdict:
        """Live through it, and look at what happened."""
        stage, loop = self._stage, self._stage.loop
        ledger.WORLD.set(stage)
        asyncio.set_event_loop(loop)
        problems: list[str] = []
        with self._scenario.around():
            try:
                loop.run_until_complete(loop.create_task(self._live()))
            except Stuck:
                problems.append("stuck: nothing can ever happen any more")
            except TimeoutError:
                problems.append("stuck: not over although nothing stands in the way")
            except Exception as error:
                problems.append(f"error: {type(error).__name__}: {error}")
        problems += stage.errors() + self._broken() + self._scenario.judge(stage.lines)
        results = {line.flow: line.value for line in stage.lines if line.kind == "result"}
        met = stage.network.met
        met["batches fenced off"] = sum(line.kind == "fenced" for line in stage.lines)
        met["processes killed"] = len(stage.deaths)
        return Verdict(problems, stage.network.passed, results, dict(met), stage.lines)

    def _broken(self) -> list[str]:
        scenario, stage = self._scenario, self._stage
        history = History(
            stage.lines,
            stage.snapshot(),
            deaths=tuple(stage.deaths),
            expected=self._wanted(),
            volatile=scenario.volatile,
            attempts=scenario.attempts,
        )
        broken = [one for one in check(history) if one.rule not in scenario.exempt]
        return [f"{one.rule}: {one.flow}: {one.text}" for one in broken]

    def _wanted(self) -> dict[str, Any]:
        """Give what has to come out, but where something else is excused."""
        excused = self._scenario.excused
        told = {line.flow: line.value for line in self._stage.lines if line.kind == "result"}
        return {
            flow: value
            for flow, value in (self._expected or {}).items()
            if not (excused and excused in _error_in(told.get(flow)))
        }

    async def _live(self) -> None:
        stage = self._stage
        runs_flows = self._layout is not Layout.APART
        stage.begin("user", lambda: self._use(execute=runs_flows))
        for name in self._layout.servers:
            stage.begin(name, self._serve)
        async with asyncio.timeout(PATIENCE):
            await stage.until_all_processes_are_over()

    async def _serve(self) -> None:
        stage = self._stage
        app = stage.app(suspend_after=self._scenario.suspend_after)
        for flow in self._scenario.flows:
            app.register(*flow)
        await app.start()
        await stage.until(lambda: stage.is_finished)
        await app.stop(GRACE)

    async def _use(self, *, execute: bool) -> None:
        stage = self._stage
        app = stage.app(execute=execute, suspend_after=self._scenario.suspend_after)
        user = User(stage, app, [app.register(*flow) for flow in self._scenario.flows])
        await app.start()
        while True:
            try:
                await self._scenario.use(user)
                break
            except (StoreUnavailable, OutcomeUnknown):  # as any user would, from its first line
                await asyncio.sleep(PAUSE)
        await stage.until_all_flows_have_ended()
        stage.finish()
        await app.stop(GRACE)

    def bury(self) -> None:
        """Throw away what killed processes left half done; what that raises is nobody's."""
        self._stage.loop.set_exception_handler(lambda *_: None)
        for task in asyncio.all_tasks(self._stage.loop):
            thrown_away: Any = task
            thrown_away._log_destroy_pending = False
            with suppress(BaseException):
                thrown_away.get_coro().close()
        self._stage.end()


def run(
    scenario: Scenario,
    layout: Layout,
    blows: Sequence[Blow] = (),
    expected: dict[str, Any] | None = None,
) -> Verdict:
    """Make one run; within `in_silence`, for what it leaves behind complains."""
    one = Run(scenario, layout, blows, expected)
    try:
        return one.judge()
    finally:
        one.bury()
        ledger.WORLD.set(None)


def _error_in(value: object) -> str:
    return str(value["error"]) if isinstance(value, dict) and "error" in value else ""


@contextmanager
def in_silence() -> Iterator[None]:
    """Throw away without a word what killed processes left half done."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    logger = logging.getLogger("unbroken")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            # Whoever starts anew gives the arguments of the first run to a flow that went on anew.
            warnings.simplefilter("ignore", ParamIgnored)
            yield
            gc.collect()
    finally:
        sys.unraisablehook = hook
        logger.setLevel(level)
