"""Fills a database with history, and measures what that costs beside an empty one.

Writes SCALE.md after a run at full size, or with `--report`. The server: UNBROKEN_POSTGRES_URL.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec

from benchmarks.report import conditions
from benchmarks.rivals.__main__ import SERVER
from benchmarks.rivals.databases import ROOT, Server
from benchmarks.scale import databases
from benchmarks.scale.crowds import READERS, one_inbox, one_message_each, timers
from benchmarks.scale.databases import Filled, Pair
from benchmarks.scale.page import Crowds, Told, scale_page
from benchmarks.scale.turns import Figure, in_turns
from benchmarks.turns import run_in_fresh_process

P = ParamSpec("P")
T = TypeVar("T")

HOME = ROOT / ".benchmarks-scale"
NAME = "bench_scale"
PAGE = ROOT / "benchmarks" / "SCALE.md"
SIZES = {
    "finished": 10_000_000,
    "suspended": 1_000_000,
    "turns": 41,
    "timers": 100_000,
    "messages": 100_000,
}


def options() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    for name, size in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=size, help="(%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the databases for --add")
    parser.add_argument(
        "--add", action="store_true", help="use the databases that were kept; add turns to theirs"
    )
    parser.add_argument("--name", default=NAME, help="what both databases begin with")
    parser.add_argument("--report", action="store_true", help="write the page whatever the sizes")
    chosen = parser.parse_args()
    if min(getattr(chosen, name) for name in SIZES) < 1:
        parser.error("each size is 1 or more")
    if chosen.messages > chosen.suspended // 2:
        parser.error("half of the suspended flows wait for a message: --messages is more than that")
    if not chosen.name.isidentifier():
        parser.error("--name is made of letters, digits and _")
    return chosen


async def filled(chosen: Namespace, server: Server, pair: Pair, before: Told | None) -> Filled:
    """Make both databases, and fill one; or take those that were kept."""
    if before is not None and await pair.exists():
        await pair.empty_again()
        await databases.clean(pair.empty)
        return before.filled
    if chosen.add:
        raise SystemExit("nothing was kept to add to: run once with --keep")
    room = await databases.check_room(server.url("postgres"), chosen.finished, chosen.suspended)
    print(f"fills {chosen.finished:,} + {chosen.suspended:,} flows: {room}", file=sys.stderr)
    await pair.make()
    waiting = chosen.suspended // 2
    sleeping = chosen.suspended - waiting
    found = await databases.fill(pair.full, chosen.finished, sleeping, waiting)
    await databases.clean(pair.empty)
    size = databases.gigabytes(found.bytes)
    print(f"filled in {found.seconds:.1f} s, {size}", file=sys.stderr)
    return found


def crowds(side: str, url: str, chosen: Namespace) -> Crowds:
    """Let the crowds come to one database."""
    return Crowds(
        timers=shown(f"{side}: timers", timers, url, chosen.timers),
        inboxes=[
            shown(f"{side}: messages to one flow, {how}", one_inbox, url, chosen.messages, how)
            for how in READERS
        ],
        woken=shown(f"{side}: one message each", one_message_each, url, chosen.messages),
    )


def shown(
    what: str, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a measurement in a fresh process, and say how long it took."""
    print(f"{what} ...", end=" ", file=sys.stderr, flush=True)
    began = time.perf_counter()
    found = run_in_fresh_process(function, *args, **kwargs)
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return found


async def measure(chosen: Namespace, server: Server, pair: Pair, before: Told | None) -> Told:
    """Fill, measure in turns, let the crowds come."""
    settings = await server.settings()
    load = os.getloadavg()[0]
    found = await filled(chosen, server, pair, before)
    figures = shown("turns", in_turns, pair.empty, pair.full, chosen.turns)
    # What waits for a message on the empty side comes now: until here it is empty.
    await databases.fill(pair.empty, 0, 0, chosen.messages)
    told = Told(
        found,
        added(before.figures, figures) if before is not None else figures,
        crowds("empty", pair.empty, chosen),
        crowds("full", pair.full, chosen),
        "",
        settings,
        f"{load:.1f} before, {os.getloadavg()[0]:.1f} at the end, of the last minute",
    )
    turns = len(told.figures[0].full)
    return msgspec.structs.replace(told, conditions=conditions(turns))


def added(former: list[Figure], figures: list[Figure]) -> list[Figure]:
    """Join the turns of two runs."""
    known = {one.what: one for one in former}
    return [
        msgspec.structs.replace(
            one, empty=known[one.what].empty + one.empty, full=known[one.what].full + one.full
        )
        for one in figures
    ]


def kept(file: Path) -> Told | None:
    """Read what an earlier run found out."""
    return msgspec.json.decode(file.read_bytes(), type=Told) if file.exists() else None


async def main() -> None:
    """Do what the command line asks for."""
    chosen = options()
    server = Server(os.environ.get("UNBROKEN_POSTGRES_URL", SERVER))
    pair, file = Pair(server, chosen.name), HOME / f"{chosen.name}.json"
    try:
        told = await measure(chosen, server, pair, kept(file) if chosen.add else None)
    finally:
        if not chosen.keep:
            await pair.drop()
            file.unlink(missing_ok=True)
    if chosen.keep:
        HOME.mkdir(exist_ok=True)
        file.write_bytes(msgspec.json.encode(told))
    page = scale_page(told)
    print(page)
    if chosen.report or all(getattr(chosen, name) >= size for name, size in SIZES.items()):
        PAGE.write_text(page, encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main())
