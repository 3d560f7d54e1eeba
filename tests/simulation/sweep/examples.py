"""The flows of the examples, each with its user and its world: what only they know is judged here.

A year is made shorter, and a solver's work; files and terminals are left out, for the world is in
the ledger.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from types import ModuleType
from typing import Any
from unittest.mock import patch

from tests.crash import ledger
from tests.crash.ledger import Line
from tests.programs import EXAMPLES
from tests.simulation.sweep.scenario import Judge, Scenario, Use

CALL = "call"
SECONDS = 0.01


@cache
def example(name: str) -> ModuleType:
    """Import an example."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(what: str) -> None:
    """Take down what the outside world was asked for."""
    ledger.write(CALL, value=what)


def calls_in(lines: Sequence[Line]) -> list[str]:
    """Give all that the outside world was asked for."""
    return [line.value for line in lines if line.kind == CALL]


def silent(*_: object, **__: object) -> None:
    """Print nothing."""


def calls() -> list[str]:
    """Give all that the outside world was asked for so far."""
    world: Any = ledger.WORLD.get()
    return calls_in(world.lines)


def scenario(
    name: str,
    flows: Sequence[tuple[Any, ...]],
    use: Use,
    *,
    judge: Judge = lambda _: [],
    excused: str = "",
    volatile: tuple[str, ...] = (),
    exempt: tuple[str, ...] = (),
    **instead: object,
) -> Scenario:
    """Make a scenario of an example, with other things in place of some of its own."""
    module = example(name)

    def around() -> AbstractContextManager[object]:
        return put_in_place(module, {"print": silent, "SECONDS": SECONDS, **instead})

    return Scenario(
        f"{name}.py",
        tuple(flows),
        use,
        volatile=volatile,
        exempt=exempt,
        excused=excused,
        judge=judge,
        around=around,
    )


@contextmanager
def put_in_place(module: ModuleType, instead: dict[str, object]) -> Iterator[None]:
    """Let names of a module mean something else."""
    with ExitStack() as stack:
        for name, value in instead.items():
            stack.enter_context(patch.object(module, name, value, create=True))
        yield


def at_most_once(*beginnings: str) -> Judge:
    """Find calls that were made twice and must not be."""

    def judge(lines: Sequence[Line]) -> list[str]:
        made = calls_in(lines)
        counts = {text: sum(one.startswith(text) for one in made) for text in beginnings}
        return [f"world: {text!r} {times} times" for text, times in counts.items() if times > 1]

    return judge


def one_id_each(*beginnings: str) -> Judge:
    """Find calls that were repeated with another last word, or never made."""

    def judge(lines: Sequence[Line]) -> list[str]:
        problems: list[str] = []
        for text in beginnings:
            ids = {one.split()[-1] for one in calls_in(lines) if one.startswith(text)}
            if len(ids) != 1:
                problems.append(f"world: {text!r} with {sorted(ids)}")
        return problems

    return judge


def all_of(*judges: Judge) -> Judge:
    """Join what several judges find."""
    return lambda lines: [problem for judge in judges for problem in judge(lines)]
