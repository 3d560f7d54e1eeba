"""This process as the store knows it: its id, its fence, its lease, and the store's time.

A replica is registered under a fresh id, ever. Its row is the fence: each batch changes it, and
once the row is gone nothing written under that id is accepted any more. The process then takes
another id. The lease is judged on the own monotonic clock, counted from when the last beat was
*sent*, so a frozen process finds out before it begins anything (`protocol.md` R1, R5; H10).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from unbroken.engine.events import Event, Events
from unbroken.engine.rest import Rest
from unbroken.engine.settings import Settings
from unbroken.model.clock import Clock
from unbroken.model.errors import OutcomeUnknown, StoreUnavailable
from unbroken.model.randomness import Random
from unbroken.stores.store import Store


class Backoff:
    """Pauses that double, with jitter, up to a limit. Whoever pauses is at rest meanwhile."""

    def __init__(self, clock: Clock, random: Random, longest: float, rest: Rest) -> None:
        self._clock = clock
        self._random = random
        self._longest = longest
        self._rest = rest
        self._next = 0.01

    async def pause(self) -> None:
        """Wait, and wait longer the next time."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        with self._rest.pause():
            await self._clock.sleep(pause * (0.5 + self._random.fraction() / 2))

    def reset(self) -> None:
        """The store answered: begin again with short pauses."""
        self._next = 0.01


class Replica:
    """The identity under which this process writes."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        random: Random,
        settings: Settings,
        events: Events,
        rest: Rest,
    ) -> None:
        self.id = ""
        self.generation = 0
        self.batch = 0
        self._store = store
        self._clock = clock
        self._random = random
        self._settings = settings
        self._events = events
        self._rest = rest
        self._store_time = 0
        self._seen_at = 0.0
        self._doubt = 0

    async def register(self, lost: Callable[[], None]) -> None:
        """Take a fresh id and begin to beat; goes on trying until the store answers."""
        backoff = self._backoff()
        while True:
            # An id whose insert may or may not have landed is never tried twice (H10).
            self.id = self._random.new_id()
            sent = self._clock.monotonic()
            try:
                at = await self._store.register(self.id, int(self._settings.lease * 1_000_000))
            except (StoreUnavailable, OutcomeUnknown) as error:
                self.report_unavailable(error)
                await backoff.pause()
            else:
                break
        self.generation = 0
        self.batch = 0
        self.learn_time(at, sent)
        self._store.beat_every(self.id, self._settings.lease / 3, lost)
        self._events.emit(Event("replica.registered", f"this process is replica {self.id}"))

    def learn_time(self, at: int, sent: float) -> None:
        """Take the store's time from the answer to what was sent at a monotonic time.

        The store read its clock on the way there or back, and the way back may be as long as the
        event loop was blocked: so its time is known between two bounds.
        """
        known = self.now()
        self._seen_at = self._clock.monotonic()
        latest = at + int((self._seen_at - sent) * 1_000_000)
        # What was known before still holds, unless the store's clock was set back.
        self._store_time = known if at < known <= latest else at
        self._doubt = latest - self._store_time

    def now(self) -> int:
        """Give the store's time, never ahead of it: for judging whether an instant is reached."""
        return self._store_time + int((self._clock.monotonic() - self._seen_at) * 1_000_000)

    def latest(self) -> int:
        """Give the store's time, never behind it: what begins now lasts at least from here."""
        return self.now() + self._doubt

    def lease_is_over(self) -> bool:
        """Whether others may already have declared this replica dead."""
        return self._clock.monotonic() > self._store.last_beat() + self._settings.lease

    async def renew(self) -> bool:
        """Beat now; False if the row is gone. Waits for as long as the store does not answer."""
        backoff = self._backoff()
        while True:
            try:
                return await self._store.beat(self.id)
            except (StoreUnavailable, OutcomeUnknown) as error:
                self.report_unavailable(error)
                await backoff.pause()

    async def settle(self) -> bool | None:
        """Make the outcome of the last batch known: landed, not landed, or None if fenced.

        The row is *changed*, so a batch that has not landed by then never will (H11).
        """
        backoff = self._backoff()
        target = self.generation
        while True:
            target += 1
            try:
                batch = await self._store.settle(self.id, target)
            except (StoreUnavailable, OutcomeUnknown) as error:
                self.report_unavailable(error)
                await backoff.pause()
                continue
            if batch is None:
                return None
            self.generation = target
            return batch == self.batch + 1

    def _backoff(self) -> Backoff:
        return Backoff(self._clock, self._random, self._settings.max_backoff, self._rest)

    def report_unavailable(self, error: Exception) -> None:
        """Say that the store does not answer; the caller tries again."""
        text = f"the store does not answer, trying again: {error}"
        self._events.emit(Event("store.unavailable", text, level=logging.WARNING))

    def stop_beating(self) -> None:
        """Let the row alone from now on."""
        self._store.beat_every(None, 0, _nothing)


def _nothing() -> None: ...


async def until_cancelled() -> None:
    """Wait for ever."""
    await asyncio.get_running_loop().create_future()
