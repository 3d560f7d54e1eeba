"""How long waiting flows stay in memory: a budget of time and of count.

Flows that wait with the default patience leave in the order in which they came, so one alarm is
enough for all of them; only a wait with a patience of its own has its own alarm.
"""

from __future__ import annotations

from collections.abc import Callable

from unbroken.engine.incarnation import Incarnation
from unbroken.engine.settings import Settings
from unbroken.model.clock import Alarm, Clock


class WarmBudget:
    """Lets waiting flows go when their time or the room is over."""

    def __init__(
        self,
        clock: Clock,
        settings: Settings,
        let_go: Callable[[Incarnation], None],
        on_room: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._let_go = let_go
        self._on_room = on_room
        self._queue: dict[Incarnation, float] = {}
        self._own_alarms: dict[Incarnation, Alarm | None] = {}
        self._alarm: Alarm | None = None

    def cool(self, incarnation: Incarnation, stay: float) -> None:
        """All branches wait: let it go after `stay` seconds."""
        if incarnation.is_sealed:
            return
        if stay <= 0 or incarnation.is_stopping:
            self._let_go(incarnation)
            return
        self._on_room()
        until = self._clock.monotonic() + stay
        if stay == self._settings.suspend_after:
            self._queue[incarnation] = until
            self._set_alarm()
            if len(self._queue) > self._settings.warm_limit:
                self._evict(next(iter(self._queue)))
        elif stay == float("inf"):
            self._own_alarms[incarnation] = None
        else:
            self._own_alarms[incarnation] = self._clock.call_at(
                until, lambda: self._evict(incarnation)
            )

    def warm(self, incarnation: Incarnation) -> None:
        """A branch runs again."""
        if self._queue.pop(incarnation, None) is None:
            alarm = self._own_alarms.pop(incarnation, None)
            if alarm is not None:
                alarm.cancel()

    def __len__(self) -> int:
        return len(self._queue) + len(self._own_alarms)

    def _evict(self, incarnation: Incarnation) -> None:
        self.warm(incarnation)
        self._let_go(incarnation)

    def _set_alarm(self) -> None:
        if self._alarm is None and self._queue:
            first = next(iter(self._queue.values()))
            self._alarm = self._clock.call_at(first, self._evict_due)

    def _evict_due(self) -> None:
        self._alarm = None
        now = self._clock.monotonic()
        due: list[Incarnation] = []
        for incarnation, until in self._queue.items():
            if until > now:
                break
            due.append(incarnation)
        for incarnation in due:
            self._evict(incarnation)
        self._set_alarm()
