"""Starts the processes; kills, freezes and stops them at random; lets everything come to rest."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tests.crash import ledger, processes
from tests.crash.crashing_store import make_blind
from tests.crash.databases import Databases
from tests.crash.serving import serving_app
from tests.crash.torture import client
from tests.crash.torture.programs import interpret

LEASE = timedelta(milliseconds=700)
REPLICAS = 3
# A process that was killed so often that its flows look like poison is what is tested here.
NEVER = 1_000_000
SHARE_OF_FREEZES = 0.12
SHARE_OF_STOPS = 0.1
GRACE = timedelta(seconds=2)
# A clean stop ends with code 0; a signal that comes before its handler ends the process.
STOPPED = (0, -signal.SIGTERM)
PATIENCE = 20.0
AT_MOST = 120.0


class Director:
    """Knows every process; everything it does follows from the seed."""

    def __init__(
        self, seed: int, folder: Path, stored: Databases, *, gap: float, say: bool = False
    ) -> None:
        self._seed = seed
        self._folder = folder
        self._url = stored.url(folder)
        self._gap = gap
        self._say = say
        self._chance = random.Random(f"director {seed}")
        self._replicas: list[int] = []
        self._frozen: dict[int, float] = {}
        self._stopping: dict[int, float] = {}
        self._environment = {ledger.PATH: str(folder / "ledger")}
        # In the second half nobody is told of a death: only the lease tells, as on other systems.
        self._is_blind = False
        self.kills = 0
        self.freezes = 0
        self.stops = 0
        self.failures: list[str] = []

    def run(self, kills: int) -> None:
        """Torment until so many were killed, then heal and wait for the client's end."""
        os.environ.update(self._environment)
        folder, seed, url = self._folder, self._seed, self._url
        user = self._fork(lambda: client.run(seed, folder, url, LEASE), "client")
        while len(self._replicas) < REPLICAS:
            self._replicas.append(self._fork(self._serve, "replicas"))
        try:
            while self.kills < kills:
                self._is_blind = self.kills >= kills / 2
                self._strike()
            self._heal()
            (folder / client.STOP).touch()
            self._expect(user, "the client", AT_MOST)
        finally:
            self._end()

    def _fork(self, run: Callable[[], None], log: str) -> int:
        return processes.fork(run, self._folder / log, self._environment)

    def _serve(self) -> None:
        stay = timedelta(milliseconds=50)
        app = serving_app(
            self._url, (interpret,), lease=LEASE, poison_after=NEVER, suspend_after=stay
        )
        if self._is_blind:
            make_blind(app)
        asyncio.run(app.serve(GRACE))

    def _strike(self) -> None:
        """Wait a while, then do something to a process; one that ends has a successor at once."""
        until = time.monotonic() + self._chance.expovariate(1 / self._gap)
        while (now := time.monotonic()) < until:
            self._thaw_due(now)
            self._collect_stopped(now)
            time.sleep(min(0.02, until - now))
        self._replace_ended()
        victim, what = self._victim(), self._chance.random()
        if what < SHARE_OF_FREEZES and not self._frozen:
            self._freeze(victim)
        elif what > 1 - SHARE_OF_STOPS and victim not in self._frozen:
            self._stop(victim)
        else:
            self._kill(victim)

    def _kill(self, victim: int) -> None:
        processes.kill(victim)
        ledger.write("killed", value=victim)
        self._frozen.pop(victim, None)
        self.kills += 1
        self._replace(victim)
        if self._say and self.kills % 100 == 0:
            print(f"{self.kills} kills", flush=True)

    def _freeze(self, victim: int) -> None:
        os.kill(victim, signal.SIGSTOP)
        ledger.write("stopped", value=victim)
        duration = LEASE.total_seconds() * self._chance.uniform(1.2, 2.5)
        self._frozen[victim] = time.monotonic() + duration
        self.freezes += 1

    def _stop(self, victim: int) -> None:
        """Ask a process to stop, and sometimes to hurry."""
        os.kill(victim, signal.SIGTERM)
        if self._chance.random() < 0.5:
            time.sleep(0.01)
            os.kill(victim, signal.SIGTERM)
        self._stopping[victim] = time.monotonic() + PATIENCE
        self.stops += 1
        self._replace(victim)

    def _replace(self, pid: int) -> None:
        self._replicas[self._replicas.index(pid)] = self._fork(self._serve, "replicas")

    def _collect_stopped(self, now: float) -> None:
        for pid, deadline in list(self._stopping.items()):
            code = processes.ended(pid)
            if code is None and now < deadline:
                continue
            del self._stopping[pid]
            if code is None:
                processes.kill(pid)
            if code not in STOPPED:
                self.failures.append(f"replica {pid} was asked to stop and ended with {code}")

    def _victim(self) -> int:
        """Choose a process; one that is frozen is mostly left to wake up as a zombie."""
        awake = [pid for pid in self._replicas if pid not in self._frozen]
        return self._chance.choice(self._replicas if self._chance.random() < 0.1 else awake)

    def _thaw_due(self, now: float) -> None:
        for pid, until in list(self._frozen.items()):
            if now >= until:
                del self._frozen[pid]
                ledger.write("continued", value=pid)
                os.kill(pid, signal.SIGCONT)

    def _replace_ended(self) -> None:
        """A process that ends by itself is a failure; the others must go on all the same."""
        for pid in list(self._replicas):
            code = processes.ended(pid)
            if code is not None:
                self.failures.append(f"replica {pid} ended by itself with {code}")
                self._replace(pid)

    def _heal(self) -> None:
        self._thaw_due(float("inf"))
        self._replace_ended()

    def _end(self) -> None:
        """Stop all that is left."""
        self._thaw_due(float("inf"))
        for pid in self._replicas:
            os.kill(pid, signal.SIGTERM)
            self._stopping[pid] = time.monotonic() + PATIENCE
        while self._stopping:
            self._collect_stopped(time.monotonic())
            time.sleep(0.01)

    def _expect(self, pid: int, what: str, seconds: float) -> None:
        try:
            code = processes.wait(pid, seconds)
        except TimeoutError as error:
            self.failures.append(f"{what}: {error}")
        else:
            if code != 0:
                self.failures.append(f"{what} ended with {code}")
