"""A process full of flows that stand still, each somewhere else, until a file appears.

    python -m tests.postgresql.standing URL LEASE FOLDER

All of them wait for one look at the file: a thousand looks would keep the processor from others.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.crash import held, ledger
from tests.crash.bodies import begun, once, saw, touch, touch_once
from tests.crash.conftest import ROOT, Processes
from tests.crash.ledger import key_of_body, note
from tests.crash.serving import serving_app
from unbroken import Unbroken, capture, effect, flow

PAUSE = 0.02
GOING = "going"
told = asyncio.Event()


async def stand(value: str) -> str:
    """Do something outside that takes long; at least once."""
    note("begin", key_of_body())
    await told.wait()
    note("end", key_of_body(), f"{value}!")
    return f"{value}!"


async def look() -> str:
    """Look whether flows may go on."""
    note("begin", key_of_body())
    seen = GOING if told.is_set() else "standing"
    note("end", key_of_body(), seen)
    return seen


@effect(at_most_once=True)
async def stand_once(value: str) -> str:
    """Do something outside that takes long; at most once."""
    note("begin", key_of_body(), once=True)
    await told.wait()
    note("end", key_of_body(), f"{value}!", once=True)
    return f"{value}!"


@flow
async def standing(place: str) -> str:
    """Record something, then stand between two effects, within one, or write again and again."""
    begun()
    first = await saw("a", capture("a", touch, place))
    match place:
        case "within":
            return await saw("stand", capture("stand", stand, first))
        case "within, once":
            return await once("stand_once", stand_once(first))
        case "writing":
            count = 1
            while await saw(f"look {count}", capture(f"look {count}", look)) != GOING:
                count += 1
                await asyncio.sleep(PAUSE)
        case _:
            await told.wait()
    if place == "before, once":
        return await once("touch_once", touch_once(first))
    return await saw("b", capture("b", touch, first))


class Crowd(Processes):
    """Starts processes that run such flows."""

    def start(self) -> subprocess.Popen[bytes]:
        """Start a process and wait until it is registered."""
        program = [sys.executable, "-m", "tests.postgresql.standing"]
        process = subprocess.Popen(
            [*program, self.url, str(self.lease), str(self.folder)],
            cwd=ROOT,
            env={**os.environ, ledger.PATH: str(self.ledger)},
            stdout=subprocess.PIPE,
        )
        self._started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    def client(self) -> tuple[Unbroken, dict[str, Any]]:
        """Make an app that runs nothing, and the handle of the flow."""
        app = Unbroken(self.url, execute=False, lease=timedelta(seconds=self.lease))
        return app, {"standing": app.register(standing)}


async def _watch(file: Path) -> None:
    while not file.exists():  # noqa: ASYNC110 - a file is what two processes share
        await asyncio.sleep(PAUSE)
    told.set()


async def _serve(url: str, lease: float, folder: Path) -> None:
    watching = asyncio.create_task(_watch(folder / held.GO))
    app = serving_app(url, (standing,), lease=timedelta(seconds=lease))
    app.subscribe(lambda event: _say_ready(event.name))
    await app.serve(grace=held.GRACE)
    watching.cancel()


def _say_ready(event: str) -> None:
    if event == "replica.registered":
        print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])))
