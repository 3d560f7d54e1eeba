"""One run: a seed, a world, random programs; first faults, then health, then judgement."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any

import msgspec

from tests.crash.torture.programs import Program
from tests.simulation.burying import buried
from tests.simulation.faults import Jolt
from tests.simulation.judging import judged
from tests.simulation.loop import Stuck
from tests.simulation.replicas import Fleet, Replica
from tests.simulation.storms import Storms
from tests.simulation.tape import Tape
from tests.simulation.using import User
from tests.simulation.world import LEASE, World, install

SAFETY = 20.0
PATIENCE = 120.0


class Verdict(msgspec.Struct):
    """What a run found: nothing, or what was broken."""

    seed: int
    violations: list[str]
    tape: list[int]
    weather: str
    met: dict[str, int]
    turns: int
    seconds: float
    trace: str
    """What happened, as a digest: the same seed gives the same, in every process."""


class Run:
    """One seed."""

    def __init__(self, seed: int, recorded: Sequence[int] | None = None) -> None:
        self.seed = seed
        self.tape = Tape(seed, recorded)
        self.world = World(self.tape)
        self.user = User(self.world)
        self._fleet: Fleet
        self._client = 0

    @property
    def programs(self) -> dict[str, Program]:
        """What each flow was told to do."""
        return self.user.programs

    def judge(self) -> Verdict:
        """Live through it, and look at what happened."""
        world = self.world
        install(world)
        weather = repr(world.weather)
        asyncio.set_event_loop(world.loop)
        problems: list[str] = []
        try:
            world.loop.run_until_complete(world.loop.create_task(self._live()))
        except Stuck:
            problems.append("stuck: nothing can ever happen any more")
        except TimeoutError:
            problems.append("stuck: flows did not end although nothing stands in their way")
        except Exception as error:
            problems.append(f"error: {type(error).__name__}: {error}")
        problems += judged(world, self.user.programs)
        verdict = Verdict(
            self.seed,
            problems,
            self.tape.drawn,
            weather,
            dict(world.network.met + world.events + world.marks()),
            world.loop.turns,
            world.loop.time(),
            sha256(repr(world.lines).encode()).hexdigest()[:16],
        )
        world.end()
        return verdict

    async def _live(self) -> None:
        """Live through the faults, for as long as there is something to torment; then heal."""
        world = self.world
        self._fleet = Fleet(world)
        self._client = world.new_process()
        client = world.begin(self._client, self.user.use())
        nemesis = asyncio.create_task(self._torment())
        await asyncio.wait((client,), timeout=SAFETY)
        nemesis.cancel()
        with suppress(asyncio.CancelledError):
            await nemesis
        world.weather.heal()
        world.network.heal()
        world.loop.thaw_all()
        async with asyncio.timeout(PATIENCE):
            await self._fleet.finish_deploy(LEASE.total_seconds())
            await client
            while not world.has_ended():  # noqa: ASYNC110
                await asyncio.sleep(0.5)

    async def _torment(self) -> None:
        weather, fleet = self.world.weather, self._fleet
        await asyncio.gather(
            self._now_and_then(weather.crash_every, fleet.crash),
            self._now_and_then(weather.freeze_every, self._freeze),
            self._now_and_then(weather.stops_every, fleet.stop),
            self._now_and_then(weather.every.get(Jolt.BLACKOUT, 0.0), fleet.black_out),
            *([fleet.deploy(SAFETY)] if Jolt.DEPLOY in weather.every else []),
            Storms(self.world, self._processes).rage(),
        )

    def _processes(self) -> list[int]:
        """Give those that are there, the client's first."""
        return [self._client, *self._fleet.processes()]

    async def _now_and_then(self, every: float, act: Any) -> None:
        while every:
            await asyncio.sleep(every * (1.8 - 1.6 * self.tape.fraction()))
            act(self.tape.pick(self._fleet.replicas))

    def _freeze(self, replica: Replica) -> None:
        lease = LEASE.total_seconds()
        self._fleet.freeze(replica, lease * self.tape.pick((0.2, 1.1, 3.0)))


def judge(
    seed: int,
    recorded: Sequence[int] | None = None,
    prepare: Callable[[Run], object] | None = None,
) -> Verdict:
    """Run one seed. What its killed processes left half done is thrown away in silence.

    `prepare` may change the run before it begins.
    """
    with buried() as bury:
        run = Run(seed, recorded)
        if prepare is not None:
            prepare(run)
        verdict = run.judge()
        bury(run.world.loop)
        del run
    return verdict


def total(verdicts: Sequence[Verdict]) -> Counter[str]:
    """Add up what the runs met."""
    met: Counter[str] = Counter()
    for verdict in verdicts:
        met.update(verdict.met)
    return met
