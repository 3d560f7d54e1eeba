"""Starts the processes, kills and freezes them at random, and lets everything come to rest."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from datetime import timedelta
from pathlib import Path

from tests.crash import ledger, processes
from tests.crash.serving import serving_app
from tests.crash.torture import client
from tests.crash.torture.programs import interpret

LEASE = timedelta(milliseconds=700)
REPLICAS = 3
# A process that was killed so often that its flows look like poison is what is tested here.
NEVER = 1_000_000
SHARE_OF_FREEZES = 0.12
AT_MOST = 120.0


class Director:
    """Knows every process; everything it does follows from the seed."""

    def __init__(self, seed: int, folder: Path, *, gap: float, say: bool = False) -> None:
        self._seed = seed
        self._folder = folder
        self._gap = gap
        self._say = say
        self._chance = random.Random(f"director {seed}")
        self._replicas: list[int] = []
        self._frozen: dict[int, float] = {}
        self._environment = {ledger.PATH: str(folder / "ledger")}
        self.kills = 0
        self.freezes = 0
        self.failures: list[str] = []

    def run(self, kills: int) -> None:
        """Torment until so many were killed, then heal and wait for the client's end."""
        os.environ.update(self._environment)
        lease, folder, seed = LEASE, self._folder, self._seed
        user = self._fork(lambda: client.run(seed, folder, lease), "client")
        while len(self._replicas) < REPLICAS:
            self._replicas.append(self._fork(self._serve, "replicas"))
        try:
            while self.kills < kills:
                self._strike()
            self._heal()
            (folder / client.STOP).touch()
            self._expect(user, "the client", AT_MOST)
        finally:
            self._end()

    def _fork(self, run: object, log: str) -> int:
        assert callable(run)
        return processes.fork(run, self._folder / log, self._environment)

    def _serve(self) -> None:
        url = f"sqlite:///{self._folder / 'flows.db'}"
        stay = timedelta(milliseconds=50)
        app = serving_app(url, (interpret,), lease=LEASE, poison_after=NEVER, suspend_after=stay)
        asyncio.run(app.serve(timedelta(seconds=2)))

    def _strike(self) -> None:
        """Wait a while, then kill a process or freeze it; who was killed has a successor at once."""
        until = time.monotonic() + self._chance.expovariate(1 / self._gap)
        while (now := time.monotonic()) < until:
            self._thaw_due(now)
            time.sleep(min(0.02, until - now))
        self._replace_ended()
        victim = self._victim()
        if self._chance.random() < SHARE_OF_FREEZES and not self._frozen:
            os.kill(victim, signal.SIGSTOP)
            ledger.write("stopped", value=victim)
            duration = LEASE.total_seconds() * self._chance.uniform(1.2, 2.5)
            self._frozen[victim] = time.monotonic() + duration
            self.freezes += 1
            return
        processes.kill(victim)
        ledger.write("killed", value=victim)
        self._frozen.pop(victim, None)
        self.kills += 1
        self._replicas[self._replicas.index(victim)] = self._fork(self._serve, "replicas")
        if self._say and self.kills % 100 == 0:
            print(f"{self.kills} kills", flush=True)

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
        for place, pid in enumerate(self._replicas):
            code = processes.ended(pid)
            if code is not None:
                self.failures.append(f"replica {pid} ended by itself with {code}")
                self._replicas[place] = self._fork(self._serve, "replicas")

    def _heal(self) -> None:
        self._thaw_due(float("inf"))
        self._replace_ended()

    def _end(self) -> None:
        """Stop all that is left; a clean stop ends with code 0."""
        self._thaw_due(float("inf"))
        for pid in self._replicas:
            os.kill(pid, signal.SIGTERM)
        for pid in self._replicas:
            self._expect(pid, "a stopped replica", 10.0)

    def _expect(self, pid: int, what: str, seconds: float) -> None:
        try:
            code = processes.wait(pid, seconds)
        except TimeoutError as error:
            self.failures.append(f"{what}: {error}")
        else:
            if code != 0:
                self.failures.append(f"{what} ended with {code}")
