"""One order, three processes, two kill -9: what is repeated, what is not, and who finishes it.

    python examples/demo.py [folder]

Three processes share one SQLite file. The one that runs the order is killed while the order sleeps;
the one that takes over is killed in the middle of a call; the third one ends it. Everything on the
screen is measured, nothing is staged. The folder keeps the database and the list of calls.
"""

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from unbroken import Flows, Unbroken, capture, effect, flow, sleep

LEASE = timedelta(seconds=2)  # how long a silent process counts as alive; 20 s by default
A_CALL_TAKES = 0.4
PROMISED = {
    "reserve": "at least once",
    "ship": "at most once",
    "take": "at least once",
    "write": "at least once",
}


# --- the flow, as a user would write it


@dataclass
class Order:
    """What the customer asked for."""

    customer: str
    product: str
    total: Decimal


@flow
class OrderFlow:
    """An order: reserve the money, ship, wait, take the money, write to the customer."""

    def __init__(self, world: "World") -> None:
        self.world = world

    async def run(self, order: Order) -> str:
        """Bring the order to its end."""
        payment = await capture(uuid4)
        await capture(self.reserve, payment, order.total)
        tracking = await self.ship(order.product)
        await sleep(timedelta(seconds=1))
        await capture(self.take, payment)
        await capture(self.write, order.customer, tracking)
        return tracking

    async def reserve(self, payment: UUID, total: Decimal) -> None:
        """Set money aside; a repeated call has the same payment id, so it counts once."""
        await self.world.call("reserve", f"{total}, payment {payment}")

    @effect(at_most_once=True)
    async def ship(self, product: str) -> str:
        """Send a parcel; must not happen twice."""
        await self.world.call("ship", product)
        return "TRACK-1"

    async def take(self, payment: UUID) -> None:
        """Take the money that was set aside."""
        await self.world.call("take", f"the money of payment {payment}")

    async def write(self, customer: str, tracking: str) -> None:
        """Send an e-mail."""
        await self.world.call("write", f"to {customer}: {tracking} is on its way")


class World:
    """Everything outside: it notes who called, and takes a while to answer."""

    def __init__(self, folder: Path, caller: str) -> None:
        self.calls = folder / "calls.txt"
        self.caller = caller

    async def call(self, what: str, details: str) -> None:
        """Stand for a call over the network."""
        self.note(f"{self.caller} {what} {details}")
        await asyncio.sleep(A_CALL_TAKES)

    def note(self, line: str) -> None:
        """Add a line to the list of calls, and say it."""
        with self.calls.open("a") as calls:
            calls.write(f"{line}\n")
        print(line, flush=True)


def open_app(folder: Path, name: str, *, execute: bool) -> tuple[Unbroken, Flows[[Order], str]]:
    """Give the app and the handle of the flow: the same lines in every process."""
    app = Unbroken(f"sqlite:///{folder / 'demo.db'}", lease=LEASE, execute=execute)
    return app, app.register(OrderFlow, lambda: OrderFlow(World(folder, name)))


async def run_flows(folder: Path, name: str) -> None:
    """Be one of the three processes: run what is due, until the story is over."""
    app, _ = open_app(folder, name, execute=True)
    async with app:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


# --- the story


class Screen:
    """Tells what happens, with the time since the beginning."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.has_colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def say(self, text: str = "", colour: int = 0) -> None:
        """Print a line."""
        print(f"\033[{colour}m{text}\033[0m" if colour and self.has_colours else text, flush=True)

    def tell(self, text: str, colour: int = 0) -> None:
        """Print a line with its time."""
        self.say(f"{time.monotonic() - self.began:6.2f} s  {text}", colour)


class Story:
    """The processes, and what they said."""

    def __init__(self, folder: Path, screen: Screen) -> None:
        self.folder = folder
        self.screen = screen
        self.processes: dict[str, Process] = {}
        self.lines: asyncio.Queue[str] = asyncio.Queue()

    @asynccontextmanager
    async def process(self, name: str):
        """Start a process that runs flows; it ends when its standard input is closed."""
        errors = (self.folder / f"{name}.log").open("w")
        with errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, __file__, str(self.folder), name),
                stdin=PIPE,
                stdout=PIPE,
                stderr=errors,
            )
        self.processes[name] = process
        assert process.stdin is not None
        assert process.stdout is not None
        await process.stdout.readline()
        listening = asyncio.create_task(self.listen(process.stdout))
        try:
            yield process
        finally:
            process.stdin.close()
            await process.wait()
            await listening

    async def listen(self, output: asyncio.StreamReader) -> None:
        """Show the calls as they are made."""
        while line := (await output.readline()).decode().strip():
            self.screen.tell(line)
            self.lines.put_nowait(line)

    async def next_call(self, what: str) -> str:
        """Wait for a call; give the name of the process that makes it."""
        while True:
            name, called, *_ = (await self.lines.get()).split()
            if called == what:
                return name

    async def kill(self, name: str, when: str) -> float:
        """End a process with SIGKILL; give the time."""
        process = self.processes[name]
        process.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        await process.wait()
        self.screen.tell(f"kill -9 {name} (pid {process.pid}), {when}", 31)
        return killed
