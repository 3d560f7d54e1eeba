"""One order, three processes, two kill -9: what is repeated, what is not, and who finishes it.

    python examples/demo.py [folder]

Three processes share one SQLite file. The one that runs the order is killed while the order sleeps;
the one that takes over is killed in the middle of a call; the third one ends it. Everything on the
screen is measured, nothing is staged. The folder keeps the database and the list of calls.
"""

import asyncio
import logging
import os
import sqlite3
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from unbroken import Flows, Unbroken, capture, effect, flow, sleep

A_CALL_TAKES = 0.5  # seconds
BOLD, RED, GREEN = 1, 31, 32
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
    logging.basicConfig(filename=folder / f"{name}.log", level=logging.INFO)
    app = Unbroken(f"sqlite:///{folder / 'demo.db'}", execute=execute)
    return app, app.register(OrderFlow, lambda: OrderFlow(World(folder, name)))


async def run_flows(folder: Path, name: str) -> None:
    """Be one of the three processes: run what is due, until the story is over."""
    app, _ = open_app(folder, name, execute=True)
    async with app:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


# --- the story: what starts the processes, kills them and tells of it


def say(text: str = "", colour: int = 0) -> None:
    """Print a line, in colour if somebody looks at it."""
    is_coloured = colour and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(f"\033[{colour}m{text}\033[0m" if is_coloured else text, flush=True)


class Story:
    """The processes, and the calls they make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.began = time.monotonic()
        self.processes: dict[str, Process] = {}
        self.calls: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def tell(self, text: str, colour: int = 0) -> None:
        """Print a line with the time since the beginning."""
        say(f"{time.monotonic() - self.began:5.2f} s  {text}", colour)

    @asynccontextmanager
    async def process(self, name: str) -> AsyncGenerator[None, None]:
        """Start a process that runs flows; it ends when its standard input is closed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, str(self.folder), name, stdin=PIPE, stdout=PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        await process.stdout.readuntil(b"ready\n")
        self.processes[name] = process
        listening = asyncio.create_task(self.listen(process.stdout))
        try:
            yield
        finally:
            process.stdin.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 10)
            if process.returncode is None:
                process.kill()
            listening.cancel()

    async def listen(self, output: asyncio.StreamReader) -> None:
        """Show each call when it is made."""
        while line := (await output.readline()).decode().strip():
            self.tell(line)
            name, what, *_ = line.split()
            self.calls.put_nowait((what, name))

    async def next_call(self, wanted: str) -> str:
        """Wait until a call is made; give the name of the process that makes it."""
        while True:
            what, name = await self.calls.get()
            if what == wanted:
                return name

    async def kill(self, name: str, moment: str) -> float:
        """End a process with SIGKILL; give the time at which it died."""
        process = self.processes[name]
        process.kill()
        died_at = time.monotonic()
        await process.wait()
        self.tell(f"kill -9 {name} (pid {process.pid}) {moment}", RED)
        return died_at

    def journal(self) -> dict[str, str]:
        """Read what is remembered so far: the rows of the table `effects`."""
        place = f"file:{self.folder / 'demo.db'}?mode=ro"
        with closing(sqlite3.connect(place, uri=True)) as database:
            return dict(database.execute("SELECT key, body FROM effects").fetchall())

    async def until_remembered(self, key: str) -> None:
        """Wait until the journal has a key."""
        while True:
            if key in self.journal():
                return
            await asyncio.sleep(0.02)

    def show_journal(self) -> None:
        """Print what is remembered."""
        journal = self.journal()
        until = datetime.fromtimestamp(int(journal["sleep"]) / 1e6).astimezone()
        say("         remembered in the database, so not done again:")
        say(f"           uuid4    {journal['uuid4']}")
        say(f"           reserve  {journal['reserve']}")
        say(f"           ship     {journal['ship']}")
        say(f"           sleep    until {until:%H:%M:%S}")

    def show_ledger(self, killed_in: str) -> bool:
        """Print how often each call was made; say whether that is what was promised."""
        lines = [line.split() for line in (self.folder / "calls.txt").read_text().splitlines()]
        say(f"  {'call':8} {'promised':14} {'made':5} by", BOLD)
        kept = True
        for what, promise in PROMISED.items():
            callers = [name for name, called, *_ in lines if called == what]
            wanted = 2 if what == killed_in else 1
            kept = kept and len(callers) == wanted
            why = "   once more, for the kill in the middle of it" if what == killed_in else ""
            say(f"  {what:8} {promise:14} {len(callers):4}  {', '.join(callers)}{why}")
        payments = {words[-1] for words in lines if "payment" in words}
        say(f"  {len(payments)} payment id in all these calls, so the customer pays once")
        return kept and len(payments) == 1


async def tell_the_story(folder: Path) -> bool:
    """Run the order through two kills; say whether every promise was kept."""
    story = Story(folder)
    app, orders = open_app(folder, "client", execute=False)
    say("One order, three processes, one SQLite file, two kill -9.", BOLD)
    say("The order: reserve the money, ship, sleep, take the money, write to the customer.")
    say()
    a, b, c = (story.process(name) for name in "ABC")
    async with asyncio.timeout(60), a, b, c, app:
        pids = ", ".join(f"{name} (pid {one.pid})" for name, one in story.processes.items())
        story.tell(f"running: {pids}; here, a client that runs no flows")
        order = await orders.schedule("MK-1", Order("ann", "a book", Decimal("19.90")))
        story.tell("the client has stored the order MK-1; who comes first runs it")

        first = await story.next_call("ship")
        await story.until_remembered("sleep")
        await story.kill(first, "while the order sleeps")
        story.show_journal()
        second = await story.next_call("take")
        story.tell(f"{second} has taken over, and goes on now that the sleep is over", GREEN)

        died = await story.kill(second, "in the middle of this call")
        assert "take" not in story.journal()
        say("         nobody can know whether the call got through: it is not remembered, so the")
        say("         next process makes it again, with the same payment id")
        third = await story.next_call("take")
        takeover = time.monotonic() - died
        story.tell(f"{third} has taken over, {takeover:.2f} s after the kill", GREEN)

        result = await order.completion()
        story.tell(f"the order ended in {third}, and the client has its result: {result}", GREEN)
    say()
    kept = story.show_ledger(killed_in="take")
    say(f"  {takeover:.2f} s from the last kill to the next call")
    say()
    say("Every promise was kept." if kept else "A promise was broken.", GREEN if kept else RED)
    return kept


def main(arguments: list[str]) -> int:
    """Tell the story, or be one of its processes."""
    match arguments:
        case [folder, name]:
            asyncio.run(run_flows(Path(folder), name))
            return 0
        case [folder]:
            return 0 if asyncio.run(tell_the_story(Path(folder))) else 1
        case _:
            with tempfile.TemporaryDirectory(prefix="unbroken-") as folder:
                return 0 if asyncio.run(tell_the_story(Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
