"""What comes over the whole store, or a replica's way to it, for a while; and clocks that jump."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tests.simulation.faults import Jolt, Spell, Weather
from tests.simulation.network import LEASE, WHOLE_STORE, Network
from tests.simulation.tape import Tape
from tests.simulation.world import SimulatedClock, World

MOMENTS = {
    Spell.READ_ONLY: (0.3, LEASE * 1.5, LEASE * 3),
    Spell.FULL: (0.3, LEASE * 1.5, LEASE * 3),
    Spell.STANDING: (0.3, LEASE * 1.1, LEASE * 3),
    Spell.CUT_OFF: (0.3, LEASE * 1.5, LEASE * 3),
    Spell.FAILED_OVER: (0.05, 0.3, 2.0),
}
STORE_JUMPS = (0.1, 30.0, 3600.0, -0.5, -2.0)
REPLICA_JUMPS = (0.1, 3600.0, -3600.0)


class Storms:
    """Casts spells and sets clocks, as often as the weather says."""

    def __init__(self, world: World, processes: Callable[[], Sequence[int]]) -> None:
        self._world = world
        self._network: Network = world.network
        self._tape: Tape = world.tape
        self._weather: Weather = world.weather
        self._processes = processes

    async def rage(self) -> None:
        """Go on until cancelled."""
        kinds = [kind for kind in (*Spell, *Jolt) if kind in self._weather.every]
        await asyncio.gather(*(self._one_kind(kind) for kind in kinds))

    async def _one_kind(self, kind: Spell | Jolt) -> None:
        every = self._weather.every[kind]
        while True:
            await asyncio.sleep(every * (1.8 - 1.6 * self._tape.fraction()))
            if isinstance(kind, Spell):
                self._cast(kind)
            elif kind is Jolt.STORE_CLOCK:
                self._set_store_clock()
            elif kind is Jolt.REPLICA_CLOCK:
                self._set_replica_clock()
            else:
                return  # whoever knows the replicas does that

    def _cast(self, spell: Spell) -> None:
        process, processes = WHOLE_STORE, self._processes()
        if processes and self._tape.is_one_in(2):
            process = self._tape.pick(processes)
        self._network.cast(spell, process, self._tape.pick(MOMENTS[spell]))

    def _set_store_clock(self) -> None:
        seconds = self._tape.pick(STORE_JUMPS)
        self._world.clock.jump(seconds)
        self._network.watch.note(f"clock: the store's jumped {'on' if seconds > 0 else 'back'}")

    def _set_replica_clock(self) -> None:
        clock: SimulatedClock = self._tape.pick(self._world.clocks)
        clock.jump(self._tape.pick(REPLICA_JUMPS))
        self._network.watch.note("clock: a replica's jumped")
