# pyright: reportMissingImports=false
"""Absurd with plain functions: workers in threads, each with a connection of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from absurd_sdk import Absurd, TaskContext

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

# Workers, and tasks that each claims at once. Tried: 2 to 16, and 1 to 50. A claim is the dear part
# of a short task; for long ones more threads win.
FOR_SHORT_TASKS = (4, 25)
FOR_LONG_TASKS = (16, 1)
CLAIM = 600  # seconds: nothing here shall be claimed twice
POLL = 0.02
DONE = ("completed", "failed", "cancelled")
WARM_UP = 20
span = Span()
took: list[float] = []


def one_effect(number: int, ctx: TaskContext) -> str:
    """Make one effect."""
    return ctx.step("reserve", lambda: answer(number))


def many_effects(count: int, ctx: TaskContext) -> int:
    """Make effects one after the other."""
    span.begin()
    for number in range(count):
        ctx.step("reserve", lambda number=number: answer(number))
    span.end()
    return count


def warm_up(_: None, ctx: TaskContext) -> None:
    """Let statements be prepared."""
    for number in range(WARM_UP):
        ctx.step("reserve", lambda number=number: answer(number))


TASKS = {"one_effect": one_effect, "many_effects": many_effects, "warm_up": warm_up}


def client(url: str, queue: str = "default") -> Absurd:
    """Make a client that knows every task."""
    app = Absurd(url, queue_name=queue)
    for name, task in TASKS.items():
        app.register_task(name)(task)
    return app


@contextmanager
def working(url: str, workers: int, batch: int) -> Iterator[Absurd]:
    """Start workers; give a client of its own connection to start tasks with."""
    apps = [client(url) for _ in range(workers)]
    starter = client(url)
    with ThreadPoolExecutor(workers) as threads:
        for number, app in enumerate(apps):
            threads.submit(
                app.start_worker,
                worker_id=f"{os.getpid()}-{number}",
                claim_timeout=CLAIM,
                batch_size=batch,
                poll_interval=POLL,
            )
        try:
            yield starter
        finally:
            for app in apps:
                app.stop_worker()
    for app in (*apps, starter):
        app.close()


def ended(app: Absurd, task: str) -> None:
    """Wait for a result; at short intervals, since the library's own wait backs off to a second."""
    while True:
        snapshot = app.fetch_task_result(task)
        if snapshot is not None and snapshot.state in DONE:
            assert snapshot.state == "completed", snapshot
            return
        time.sleep(0.02)


def run_all(app: Absurd, name: str, params: Sequence[object]) -> None:
    """Start tasks, then wait for each in the order of their start."""
    tasks = [app.spawn(name, param)["task_id"] for param in params]
    for task in tasks:
        ended(app, task)


def flows(url: str, sizes: Sizes) -> Answer:
    """Start all tasks of one step, and await all: faster than callers that take turns."""
    with working(url, *FOR_SHORT_TASKS) as app:
        run_all(app, "warm_up", [None] * 2 * FOR_SHORT_TASKS[0])
        stopwatch = Stopwatch()
        run_all(app, "one_effect", list(range(sizes.flows)))
        return stopwatch.told()


def lone(url: str, sizes: Sizes) -> Answer:
    """Run one task by one worker: the others would only be in its way."""
    with working(url, workers=1, batch=1) as app:
        run_all(app, "warm_up", [None])
        run_all(app, "many_effects", [sizes.effects])
    return span.told()


def many(url: str, sizes: Sizes) -> Answer:
    """Run tasks side by side, each with its steps."""
    with working(url, *FOR_LONG_TASKS) as app:
        run_all(app, "warm_up", [None] * 2 * FOR_LONG_TASKS[0])
        run_all(app, "many_effects", [sizes.effects] * sizes.side_by_side)
    return span.told()


def play(url: str, sizes: Sizes) -> Answer:
    """Play one side, on a queue of its own; the side that serves measures."""
    serves = sizes.side == "ping"
    other = "pong" if serves else "ping"
    app, sender = client(url, sizes.side), client(url, sizes.side)
    began: dict[int, float] = {}
    app.create_queue(sizes.side)

    def hit(number: int) -> int:
        sender.emit_event(f"ball-{number}", number, queue_name=other)
        return number

    @app.register_task("player")
    def player(_: None, ctx: TaskContext) -> None:
        for number in range(sizes.rounds):
            began.setdefault(number, time.perf_counter())
            if serves:
                ctx.step(f"hit-{number}", lambda number=number: hit(number))
            assert ctx.await_event(f"ball-{number}") == number
            if not serves:
                ctx.step(f"hit-{number}", lambda number=number: hit(number))
            if number == len(took):
                took.append(time.perf_counter() - began[number])

    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(app.start_worker, claim_timeout=CLAIM, poll_interval=0.005)
        asking = client(url, sizes.side)
        task = asking.spawn("player", None, queue=sizes.side)["task_id"]
        if not serves:
            say({})
        ended(asking, task)
        app.stop_worker()
        working.result()
    for one in (app, sender, asking):
        one.close()
    return rounds_told(took[1:])


if __name__ == "__main__":
    run_program({"flows": flows, "lone": lone, "many": many, "message": play})
