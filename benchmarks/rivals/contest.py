"""Who takes part in what, and the rounds: in each, every contender takes a turn."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.rivals.databases import ROOT, Command, Server
from benchmarks.rivals.environments import ABSURD, DBOS, OURS, Environment
from benchmarks.rivals.proxy import Proxy, proxy_to
from benchmarks.rivals.work import Answer, Sizes

TOO_LONG = 1_800.0


@dataclass(frozen=True)
class Contender:
    """A program, and what it can be asked for."""

    name: str  # as the report calls this mode
    family: str
    module: str
    environment: Environment
    works: tuple[str, ...]


QUICK_WORKS = ("flows", "lone", "many", "message")
# The same work; ours with other settings too.
SLEEPERS = ("sleepers", "warm sleepers", "suspended sleepers")
COUNTED_WORKS = ("statements", "idle")
CONTENDERS = (
    Contender(
        "Unbroken", "Unbroken", "ours", OURS, (*QUICK_WORKS, "statements", "sleepers", "idle")
    ),
    Contender("Unbroken, kept warm", "Unbroken", "ours", OURS, ("warm sleepers",)),
    Contender("Unbroken, suspended at once", "Unbroken", "ours", OURS, ("suspended sleepers",)),
    Contender(
        "DBOS async", "DBOS", "dbos_async", DBOS, (*QUICK_WORKS, "statements", "sleepers", "idle")
    ),
    Contender("DBOS sync", "DBOS", "dbos_sync", DBOS, (*QUICK_WORKS, "statements")),
    Contender(
        "Absurd async",
        "Absurd",
        "absurd_async",
        ABSURD,
        (*QUICK_WORKS, "statements", "sleepers", "idle"),
    ),
    Contender("Absurd sync", "Absurd", "absurd_sync", ABSURD, (*QUICK_WORKS, "statements")),
    Contender("raw limit", "raw limit", "raw", OURS, (*QUICK_WORKS, "statements")),
)
WORKS = (*QUICK_WORKS, "statements", *SLEEPERS, "idle")
# Sleeping and resting wait for no answer: a longer way to the server tells nothing new.
DELAYED_WORKS = QUICK_WORKS


@dataclass(frozen=True)
class Turn:
    """What one contender answered in one round."""

    round: int
    work: str
    delay_ms: float
    contender: str
    family: str
    sizes: dict[str, Any]
    answer: Answer
    error: str = ""


class TurnFailed(Exception):
    """A program ended without an answer."""


class Contest:
    """Runs rounds on one server."""

    def __init__(self, server: Server, home: Path, sizes: Sizes, idle_seconds: float) -> None:
        self._server = server
        self._home = home
        self._sizes = sizes
        self._idle_seconds = idle_seconds

    async def rounds(self, work: str, delay_ms: float, rounds: int) -> AsyncIterator[Turn]:
        """Give the turns of all rounds; who begins moves on from round to round."""
        taking_part = [one for one in CONTENDERS if work in one.works]
        for number in range(rounds):
            first = number % len(taking_part)
            for contender in (*taking_part[first:], *taking_part[:first]):
                yield await self._turn(contender, number, work, delay_ms)

    async def _turn(self, who: Contender, number: int, work: str, delay_ms: float) -> Turn:
        sizes = self._sizes
        if work in {"lone", "statements"}:
            sizes = replace(sizes, side_by_side=1)
        elif work == "many" and delay_ms:
            sizes = replace(sizes, effects=max(1, sizes.effects // 5))
        answer: Answer = {}
        error = ""
        began = time.perf_counter()
        try:
            async with self._way_to_database(who, work, delay_ms) as (url, proxy):
                answer = await self._ask(who, work, url, sizes, proxy)
        except TurnFailed as failed:
            error = str(failed)
        took = time.perf_counter() - began
        told = error or ", ".join(f"{name} {value:.4g}" for name, value in answer.items())
        print(f"  {number + 1} {who.name}: {told} ({took:.0f} s)", file=sys.stderr, flush=True)
        shown = json.loads(sizes.written())
        return Turn(number, work, delay_ms, who.name, who.family, shown, answer, error)

    @asynccontextmanager
    async def _way_to_database(
        self, who: Contender, work: str, delay_ms: float
    ) -> AsyncIterator[tuple[str, Proxy | None]]:
        async with self._server.database(_store_of(who)) as database:
            if not delay_ms and work not in COUNTED_WORKS:
                yield self._server.url(database), None
                return
            server = self._server
            async with proxy_to(server.host, server.port, delay_ms / 1000) as proxy:
                yield server.url(database, proxy.listens_at), proxy

    async def _ask(
        self, who: Contender, work: str, url: str, sizes: Sizes, proxy: Proxy | None
    ) -> Answer:
        if work == "message":
            async with self._program(who, work, url, replace(sizes, side="pong")) as pong:
                await _next_answer(pong, TOO_LONG)
                async with self._program(who, work, url, sizes) as ping:
                    answer = await _next_answer(ping, TOO_LONG)
                await _next_answer(pong, 60)
            return answer
        if work == "statements":
            assert proxy is not None
            few = await self._statements(who, url, sizes, proxy)
            more = replace(sizes, effects=3 * sizes.effects)
            many = await self._statements(who, url, more, proxy)
            return {"statements": (many - few) / (2 * sizes.effects)}
        async with self._program(who, work, url, sizes) as program:
            answer = await _next_answer(program, TOO_LONG)
            if work == "idle":
                assert proxy is not None
                before = proxy.statements
                await asyncio.sleep(self._idle_seconds)
                answer = {"statements": (proxy.statements - before) / self._idle_seconds}
        return answer

    async def _statements(self, who: Contender, url: str, sizes: Sizes, proxy: Proxy) -> int:
        before = proxy.statements
        async with self._program(who, "lone", url, sizes) as program:
            await _next_answer(program, TOO_LONG)
        return proxy.statements - before

    @asynccontextmanager
    async def _program(
        self, who: Contender, work: str, url: str, sizes: Sizes
    ) -> AsyncIterator[Process]:
        python = who.environment.python(self._home)
        command = ["-m", f"benchmarks.rivals.contenders.{who.module}", work, url, sizes.written()]
        program = await asyncio.create_subprocess_exec(
            python, *command, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=1 << 24
        )
        assert program.stderr is not None
        complaints = asyncio.create_task(program.stderr.read())
        try:
            yield program
            assert program.stdin is not None
            program.stdin.close()
            async with asyncio.timeout(60):
                await program.wait()
        except (TurnFailed, TimeoutError) as failed:
            await _end(program)
            said = (await complaints).decode(errors="replace").strip().splitlines()
            last = said[-1] if said else str(failed)
            raise TurnFailed(f"{type(failed).__name__}: {last}") from failed
        finally:
            await _end(program)
            await complaints


async def _end(program: Process) -> None:
    with suppress(ProcessLookupError):
        program.kill()
    await program.wait()


async def _next_answer(program: Process, seconds: float) -> Answer:
    assert program.stdout is not None
    async with asyncio.timeout(seconds):
        # A library may print what it likes: an answer is a line that begins like one.
        while line := await program.stdout.readline():
            if line.startswith(b"{"):
                return json.loads(line)
    raise TurnFailed("no answer")


def _store_of(who: Contender) -> str:
    return "raw" if who.module == "raw" else who.environment.name


def stores() -> list[str]:
    """Give the names of the databases that must be prepared."""
    return sorted({_store_of(contender) for contender in CONTENDERS})


async def prepare(server: Server, home: Path) -> None:
    """Bring everybody's schema into a database, of which each turn gets a copy."""
    first = {_store_of(one): one for one in reversed(CONTENDERS)}
    for store, contender in first.items():
        await server.prepare(store, partial(_preparations, contender, home))


def _preparations(who: Contender, home: Path, url: str) -> list[Command]:
    if who.environment is ABSURD:
        control = ABSURD.script(home, "absurdctl")
        return [(control, "init", "-d", url), (control, "create-queue", "-d", url, "default")]
    program = f"benchmarks.rivals.contenders.{who.module}"
    return [(who.environment.python(home), "-m", program, "prepare", url, Sizes().written())]
