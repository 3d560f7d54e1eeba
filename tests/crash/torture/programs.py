"""Random programs as flows: what each of them is written in, performs, and ends with.

`acts.py` has the commands, `writing.py` makes programs of them, `performing.py` and `effects.py`
are the flows' code, `predicting.py` says how each program ends.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from tests.crash.bodies import Refused
from tests.crash.ledger import note
from tests.crash.torture.acts import (
    COMMON,
    COMMON_ID,
    TORTURE,
    WHOLE,
    Act,
    Ask,
    Letter,
    Maybe,
    Nudge,
    Ping,
    Program,
    children_of,
    initial_of,
    messages_of,
    questions_of,
    reply_to,
    walk,
)
from tests.crash.torture.effects import ATTEMPTS
from tests.crash.torture.performing import PLACES, run_all
from tests.crash.torture.predicting import INTERRUPTED, REFUSED, expected
from tests.crash.torture.running import FIRST_CODE, REPAIRED_CODE, RUNNING, UNFIT_CODE, Running
from tests.crash.torture.writing import program_of
from unbroken import Retry, current_flow, flow

__all__ = [
    "ATTEMPTS",
    "CODES",
    "COMMON",
    "COMMON_ID",
    "FIRST_CODE",
    "INTERRUPTED",
    "PLACES",
    "REFUSED",
    "REPAIRED_CODE",
    "TORTURE",
    "UNFIT_CODE",
    "WHOLE",
    "Act",
    "Ask",
    "Letter",
    "Maybe",
    "Nudge",
    "Ping",
    "Program",
    "Refused",
    "children_of",
    "expected",
    "initial_of",
    "interpret",
    "messages_of",
    "program_of",
    "questions_of",
    "reply_to",
    "walk",
]

PERSISTENT = Retry(5, initial_delay=timedelta(milliseconds=20), jitter=0.5)


async def _run(program: Program, own: Any, run: int, code: int) -> str:
    note("started", value=[run, code, current_flow().version])
    RUNNING.set(Running(own, interpret, run, code))
    shows = len(program) % 2 == 1
    return msgspec.json.encode(await run_all(program, shows=shows)).decode()


@flow
async def interpret(program: Program, run: int = 0) -> str:
    """Run a program; its results are JSON."""
    return await _run(program, interpret, run, FIRST_CODE)


@flow(name="interpret", version=UNFIT_CODE)
async def interpret_unfit(program: Program, run: int = 0) -> str:
    """The same with other code, which does not fit all that is recorded."""
    return await _run(program, interpret, run, UNFIT_CODE)


@flow(name="interpret", version=REPAIRED_CODE)
async def interpret_repaired(program: Program, run: int = 0) -> str:
    """The same with code that says what was renamed."""
    return await _run(program, interpret, run, REPAIRED_CODE)


@flow(retry=PERSISTENT)
async def persist(program: Program, run: int = 0) -> str:
    """Run a program, and again when it fails."""
    return await _run(program, persist, run, FIRST_CODE)


@flow(name="persist", retry=PERSISTENT, version=UNFIT_CODE)
async def persist_unfit(program: Program, run: int = 0) -> str:
    """The same with other code."""
    return await _run(program, persist, run, UNFIT_CODE)


@flow(name="persist", retry=PERSISTENT, version=REPAIRED_CODE)
async def persist_repaired(program: Program, run: int = 0) -> str:
    """The same with repaired code."""
    return await _run(program, persist, run, REPAIRED_CODE)


CODES = {
    FIRST_CODE: (interpret, persist),
    UNFIT_CODE: (interpret_unfit, persist_unfit),
    REPAIRED_CODE: (interpret_repaired, persist_repaired),
}
"""The flows of each deploy."""
