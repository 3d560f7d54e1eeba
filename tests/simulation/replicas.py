"""The replicas of a simulated world, and the deploys that change their code."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from tests.crash.torture.programs import CODES, FIRST_CODE, REPAIRED_CODE, UNFIT_CODE
from tests.simulation.world import World
from unbroken import Unbroken

STAYS = (0, 1, 10)
AWAY = (0.01, 0.3, 3.0)
GRACES = (1, 0.05, 0)
# Which code is deployed, one after the other.
DEPLOYS = ((REPAIRED_CODE,), (UNFIT_CODE, REPAIRED_CODE))


class Replica:
    """One process that runs flows, begun again whenever it was killed or has stopped."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.process = 0
        self.code = FIRST_CODE
        """The code of the process that runs."""
        self.next_code = FIRST_CODE
        """The code of the next one."""
        self._app: Unbroken | None = None
        self.begin()

    def begin(self) -> None:
        """Start a fresh process, unless there is one."""
        if self.process:
            return
        self.process = self._world.new_process()
        self.code = self.next_code
        self._world.begin(self.process, self._serve())

    async def _serve(self) -> None:
        stay = timedelta(seconds=self._world.tape.pick(STAYS))
        app, _ = self._world.app(CODES[self.code], suspend_after=stay)
        if self.code != FIRST_CODE:
            self._world.write("deployed", "", "", value=self.code)
        self._app = app
        await app.start()
        await asyncio.get_running_loop().create_future()

    def kill(self) -> None:
        """End it as SIGKILL does, and start another one a little later."""
        if not self.process:
            return
        self._world.kill(self.process)
        self.process = 0
        self._world.later(self._world.tape.pick(AWAY), self.begin)

    async def stop(self) -> None:
        """Stop it cleanly, and start another one."""
        app, process = self._app, self.process
        if app is None or process == 0 or app._engine is None:
            return
        self.process = 0
        self._app = None
        grace = timedelta(seconds=self._world.tape.pick(GRACES))
        await self._world.begin(process, app.stop(grace))
        self._world.write("left", "", "", value=process)
        self.begin()


class Fleet:
    """All replicas of a run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stopping: set[asyncio.Task[Any]] = set()
        self._deploys: tuple[int, ...] = ()
        world.on_death = self._let_die
        self.replicas = [Replica(world) for _ in range(1 + world.tape.draw(3))]

    def processes(self) -> list[int]:
        """Give those that are there."""
        return [one.process for one in self.replicas if one.process]

    def crash(self, replica: Replica) -> None:
        """Kill one."""
        replica.kill()

    def black_out(self, _: Replica) -> None:
        """Kill every replica at once."""
        for replica in self.replicas:
            replica.kill()

    def freeze(self, replica: Replica, seconds: float) -> None:
        """Let one stand still."""
        if replica.process and not self._world.loop.is_frozen(replica.process):
            self._world.freeze(replica.process, seconds)

    def stop(self, replica: Replica) -> None:
        """Stop one cleanly, if it can hear."""
        if replica.process and not self._world.loop.is_frozen(replica.process):
            stopping = asyncio.create_task(replica.stop())
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)

    def _let_die(self, process: int) -> None:
        """One takes itself down."""
        for replica in self.replicas:
            if replica.process == process:
                replica.kill()
                return
        self._world.kill(process)  # while it stopped

    # deploys

    async def deploy(self, seconds: float) -> None:
        """Roll out one code after the other, replica by replica, within this time."""
        tape = self._world.tape
        self._deploys = tape.pick(DEPLOYS)
        for code in self._deploys:
            await asyncio.sleep(seconds / 2 * tape.fraction() / len(self._deploys))
            for replica in self.replicas:
                replica.next_code = code
                if tape.is_one_in(2):
                    self.stop(replica)
                else:
                    replica.kill()
                await asyncio.sleep(tape.pick((0.05, 1.0, 4.0)))

    async def finish_deploy(self, lease: float) -> None:
        """Leave no replica on older code, and start one when the last of these is forgotten.

        What an older one parked goes on at the next start of a newer one, and only then.
        """
        if not self._deploys:
            return
        for _ in range(2):
            for replica in self.replicas:
                replica.next_code = self._deploys[-1]
                replica.kill()
            await asyncio.sleep(2 * lease + max(AWAY))
