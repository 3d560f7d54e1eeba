"""Looks for the first seed that finds a mutant out, in as many processes as wanted."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

from tests.simulation.loop import SimulatedLoop
from tests.simulation.mutants.mutant import Mutant
from tests.simulation.run import judge

# A sound run turns its loop some thousand times, in a tenth of a second; a broken engine may do so
# for ever, and with more to do at each turn.
MOST_TURNS = 100_000
MOST_SECONDS = 10.0
# What a mutant raises that is no engine any more, but a mistake of who wrote it.
MISTAKES = (
    *(AttributeError, ImportError, LookupError, NameError, TypeError),
    sqlite3.ProgrammingError,
)


class Busy(Exception):
    """The loop turns and turns."""


class Wreck(Exception):
    """The mutant cannot run at all: it proves nothing."""


class Killer(msgspec.Struct, frozen=True):
    """The seed that found a mutant out, and the first promise that was broken."""

    seed: int
    broken: str

    @property
    def rule(self) -> str:
        """Name the rule that spoke."""
        return self.broken.partition(":")[0]


def killer_of(mutant: Mutant, seeds: Iterable[int]) -> Killer | None:
    """Give the first seed on which the mutant breaks a promise and the sound engine does not."""
    with mutant.ground():
        for seed in seeds:
            with mutant.apply():
                broken = _broken_by(seed, mutant)
            if broken and not _broken_by(seed):
                return Killer(seed, broken)
    return None


def _broken_by(seed: int, mutant: Mutant | None = None) -> str | None:
    with _limited_turns(), _watched() as mistakes:
        try:
            verdict = judge(seed)
        except AssertionError as error:
            return f"assertion: {error}"
    if mutant is not None and mistakes:
        raise Wreck(f"{mutant.what}: {mistakes[0]!r}") from mistakes[0]
    return verdict.violations[0] if verdict.violations else None


@contextmanager
def _limited_turns() -> Iterator[None]:
    once = SimulatedLoop._run_once
    end = time.process_time() + MOST_SECONDS

    def run_once(self: SimulatedLoop) -> None:
        if self.turns > MOST_TURNS:
            raise Busy(f"the loop turned {MOST_TURNS} times")
        if self.turns % 64 == 0 and time.process_time() > end:
            raise Busy("the loop turned for seconds and seconds")
        once(self)

    with patch.object(SimulatedLoop, "_run_once", run_once):
        yield


@contextmanager
def _watched() -> Iterator[list[BaseException]]:
    """Collect mistakes that the engine logs and lives on with."""
    found: list[BaseException] = []

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error: Any = record.exc_info[1] if record.exc_info else None
            if isinstance(error, MISTAKES):
                found.append(error)

    loggers = [logging.getLogger(name) for name in ("unbroken", "asyncio")]
    watch = Watch(logging.ERROR)
    for logger in loggers:
        logger.addHandler(watch)
    try:
        yield found
    finally:
        for logger in loggers:
            logger.removeHandler(watch)
