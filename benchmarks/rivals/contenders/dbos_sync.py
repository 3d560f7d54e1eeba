# pyright: reportMissingImports=false
"""DBOS with plain functions: a thread for each workflow."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS, SetWorkflowID

from benchmarks.rivals.contenders.dbos_app import running
from benchmarks.rivals.work import (
    Answer,
    Sizes,
    Span,
    Stopwatch,
    answer,
    rounds_told,
    run_program,
    say,
)

WARM_UP = 20
HOUR = 3_600
span = Span()
took: list[float] = []


@DBOS.step()
def reserve(number: int) -> str:
    """Stand for an outside call that answers at once."""
    return answer(number)


@DBOS.workflow()
def one_effect(number: int) -> str:
    """Make one effect."""
    return reserve(number)


@DBOS.workflow()
def warm_up() -> None:
    """Let connections and threads be opened."""
    for number in range(WARM_UP):
        reserve(number)


@DBOS.workflow()
def many_effects(count: int) -> int:
    """Make effects one after the other."""
    span.begin()
    for number in range(count):
        reserve(number)
    span.end()
    return count


def flows(url: str, sizes: Sizes) -> Answer:
    """Call workflows of one step: the caller runs each in its own thread, no handle is polled."""

    def call(count: int) -> None:
        for number in range(count):
            one_effect(number)

    with running(url), ThreadPoolExecutor(sizes.callers) as callers:
        list(callers.map(call, [1] * sizes.callers))
        stopwatch = Stopwatch()
        list(callers.map(call, [sizes.flows // sizes.callers] * sizes.callers))
        return stopwatch.told()


def many(url: str, sizes: Sizes) -> Answer:
    """Run workflows side by side, each with its steps."""
    with running(url), ThreadPoolExecutor(sizes.side_by_side) as callers:
        list(callers.map(lambda _: warm_up(), range(min(20, sizes.side_by_side))))
        list(callers.map(many_effects, [sizes.effects] * sizes.side_by_side))
    return span.told()


@DBOS.workflow()
def player(other: str, rounds: int, serves: bool) -> int:  # noqa: FBT001
    """Hit the ball back, and say how long each round took."""
    for number in range(rounds):
        began = time.perf_counter()
        if serves:
            DBOS.send(other, number, "ball")
        assert DBOS.recv("ball", HOUR) == number
        if not serves:
            DBOS.send(other, number, "ball")
        took.append(time.perf_counter() - began)
    return rounds


def play(url: str, sizes: Sizes) -> Answer:
    """Play one side; the side that serves measures."""
    serves = sizes.side == "ping"
    with running(url):
        with SetWorkflowID(sizes.side):
            other = "pong" if serves else "ping"
            handle = DBOS.start_workflow(player, other, sizes.rounds, serves)
        if not serves:
            say({})
        handle.get_result()
    return rounds_told(took[1:])


if __name__ == "__main__":
    run_program({"flows": flows, "lone": many, "many": many, "message": play})
