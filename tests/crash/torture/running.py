"""What the code of a random program knows of itself: which run it is, and which deploy's code."""

from __future__ import annotations

from collections import Counter
from contextvars import ContextVar
from typing import Any, NamedTuple

from tests.crash.torture.acts import Program
from unbroken import Flow

AnyFlow = Flow[[Program, int], str]

FIRST_CODE = 1
# Something was renamed, and the deploy does not say so: what may run only once is parked.
UNFIT_CODE = 2
REPAIRED_CODE = 3


class Running(NamedTuple):
    """One run of a program."""

    own: Any
    children: Any
    run: int = 0
    code: int = FIRST_CODE


RUNNING: ContextVar[Running] = ContextVar("running program")


def next_name(uses: Counter[str], name: str) -> str:
    """Give the name that the next use of an engine's own name has in this scope.

    A later run uses the names again, for other things: then the lines say which run it is.
    """
    uses[name] += 1
    used = name if uses[name] == 1 else f"{name}#{uses[name]}"
    run = RUNNING.get().run
    return used if run == 0 else f"{used} of run {run}"
