"""A store that breaks its promise: a failover goes back to before what it had acknowledged.

python -m tests.simulation.losing FIRST COUNT

No engine can give back what its store has lost, so another law holds here. Of what outlived the
loss everything must be sound: the rows agree with each other, whoever lost its place writes nothing
more under its old name, and nothing stands that somebody could run. A flow may wait for ever for a
message that was lost with the proof that it had come; nothing else may hold it up. What bodies did
in the lost time they may do again.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import msgspec
from msgspec.structs import replace

from tests.crash.checker import life, places
from tests.crash.checker.history import FINAL, History
from tests.crash.torture.programs import (
    CODES,
    TORTURE,
    Program,
    children_of,
    messages_of,
    program_of,
)
from tests.simulation.burying import buried
from tests.simulation.faults import Spell
from tests.simulation.replicas import Fleet
from tests.simulation.run import PATIENCE, SAFETY
from tests.simulation.storms import Storms
from tests.simulation.tape import Tape
from tests.simulation.world import World, install
from unbroken import ParamIgnored, StoreUnavailable
from unbroken.stores.batch import Batch

KEPT = 12
LONGEST_STAY = 20.0
RULES = (
    life.fenced_never_writes_again,
    life.ended_is_owned_by_nobody,
    life.file_is_sound,
    places.holders_keep_to_the_limit,
    places.ended_stands_in_no_queue,
)
POISON = "PoisonFlow"
# What needs no more from outside than messages under keys, which can be sent any number of times.
WORDS = replace(
    TORTURE,
    simple=tuple(word for word in TORTURE.simple if word != "question"),
    tops=(),
    endings=("fail",),
)


class LosingRun:
    """One seed of a world whose store loses its tail now and then."""

    def __init__(self, seed: int) -> None:
        self.tape = Tape(f"losing {seed}")
        self.world = World(self.tape)
        self.losses = 0
        self.ended = 0
        self.waiting = 0
        self._tail: deque[bytes] = deque(maxlen=KEPT)
        self._is_healed = False
        self.world.network.before_write = self._remember

    def judge(self) -> list[str]:
        """Live through it; give what was broken."""
        world = self.world
        install(world)
        asyncio.set_event_loop(world.loop)
        problems: list[str] = []
        try:
            world.loop.run_until_complete(world.loop.create_task(self._live()))
        except Exception as error:
            problems.append(f"error: {type(error).__name__}: {error}")
        history = History(world.lines, world.snapshot())
        problems += [
            f"{one.rule}: {one.flow}: {one.text}" for rule in RULES for one in rule(history)
        ]
        problems += self._held_up()
        if world.events["engine.part_failed"]:
            problems.append("error: a part of the engine failed")
        world.end()
        return problems

    def _held_up(self) -> Iterator[str]:
        """Find flows that do not end although they wait for no message."""
        for name, row in self.world.snapshot().flows.items():
            if row.status in FINAL or POISON in (row.error or ""):
                self.ended += 1
            elif row.status == "live" and row.owner is None and row.due_at is None:
                self.waiting += 1
            else:
                yield f"stuck: {name}: {row}"

    async def _live(self) -> None:
        world = self.world
        fleet = Fleet(world)
        clients = [world.begin(world.new_process(), self._use(number)) for number in range(3)]
        storms = Storms(world, fleet.processes)
        nemesis = asyncio.gather(storms.rage(), self._lose_now_and_then())
        await asyncio.sleep(SAFETY)
        nemesis.cancel()
        with suppress(asyncio.CancelledError):
            await nemesis
        world.weather.heal()
        world.network.heal()
        world.loop.thaw_all()
        self._is_healed = True
        await asyncio.sleep(PATIENCE / 2)
        for client in clients:
            client.cancel()
        for client in clients:
            with suppress(asyncio.CancelledError):
                await client
        await asyncio.sleep(LONGEST_STAY)  # what waits leaves memory

    # losing

    def _remember(self, _: Batch | None) -> None:
        self._tail.append(self.world.database.serialize())

    async def _lose_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self.tape.pick((8.0, 3.0)) * (0.5 + self.tape.fraction()))
            if self._tail:
                self._lose(self.tape.pick((1, 2, 5, KEPT)))

    def _lose(self, many: int) -> None:
        network = self.world.network
        network.cast(Spell.FAILED_OVER, 0, self.tape.pick((0.05, 0.5)))
        with closing(sqlite3.connect(":memory:")) as former:
            former.deserialize(self._tail[-min(many, len(self._tail))])
            former.backup(self.world.database)
        self._tail.clear()
        self.losses += 1

    # who uses the flows, and asks again for all that may be lost

    async def _use(self, number: int) -> None:
        app, handles = self.world.app(CODES[1], execute=False)
        flows = next(handle for handle in handles if handle.name == "interpret")
        program, id = program_of(self.tape.draw(1 << 30), number, WORDS), f"f{number}"
        async with app:
            while not (self._is_healed and self._is_over(id)):
                with suppress(StoreUnavailable):
                    await self._ask_for(flows, id, program)
                await asyncio.sleep(2.0)
            await asyncio.get_running_loop().create_future()

    def _is_over(self, id: str) -> bool:
        return self.world.status_of(f"interpret {id}") in FINAL

    @staticmethod
    async def _ask_for(flows: Any, id: str, program: Program) -> None:
        await flows.schedule(id, program)
        for flow, part in [(id, program), *children_of(id, program)]:
            for message in messages_of(part):
                await flows.send_message(flow, message, key=message.text)


class Lost(msgspec.Struct):
    """What one seed found."""

    weather: str
    problems: list[str]
    losses: int
    ended: int
    waiting: int


def judge(seed: int) -> Lost:
    """Run one seed, and bury what its processes left half done."""
    with buried() as bury:
        warnings.simplefilter("ignore", ParamIgnored)  # flows go on as new
        run = LosingRun(seed)
        weather, problems = repr(run.world.weather), run.judge()
        bury(run.world.loop)
        found = Lost(weather, problems, run.losses, run.ended, run.waiting)
        del run
    return found


def main() -> int:
    """Run the seeds; 1 if something was broken."""
    first, count = int(sys.argv[1]), int(sys.argv[2])
    logging.disable(logging.CRITICAL)
    bad = losses = ended = waiting = 0
    for seed in range(first, first + count):
        found = judge(seed)
        losses, ended = losses + found.losses, ended + found.ended
        waiting += found.waiting
        if found.problems:
            bad += 1
            print(f"seed {seed}: {found.weather}")
            for text in found.problems[:4]:
                print(f"    {text[:400]}")
    print(
        f"{count:,} seeds, {bad} broken; {losses:,} losses of a tail, {ended:,} flows ended, "
        f"{waiting:,} wait for what was lost"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
