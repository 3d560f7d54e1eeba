"""When the replica's next beat is due, and who hears that its row is gone."""

from __future__ import annotations

from collections.abc import Callable

from unbroken.model.clock import Clock

LONGEST_RETRY = 1.0


class Pulse:
    """Counts from the last beat or batch that succeeded, at the time when it was *sent*."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds = 0.0
        self._lost: Callable[[], None] | None = None
        self._retry_at = 0.0
        self.replica: str | None = None
        self.last = 0.0

    def begin(self, replica: str | None, seconds: float, lost: Callable[[], None]) -> None:
        """Beat for a replica from now on; None: for nobody."""
        self.replica = replica
        self._seconds = seconds
        self._lost = lost
        self._retry_at = 0.0

    def wait(self) -> float | None:
        """Give the seconds until the next beat is due; None if nothing beats."""
        if self.replica is None:
            return None
        due = max(self.last + self._seconds, self._retry_at)
        return max(0.0, due - self._clock.monotonic())

    @property
    def is_half_way(self) -> bool:
        """Whether half the time until the next beat has passed."""
        return self._clock.monotonic() >= self.last + self._seconds / 2

    def registered(self, sent: float) -> None:
        """A new replica counts from its registration."""
        self.last = sent

    def succeeded(self, replica: str, sent: float) -> None:
        """Take note of a beat or batch that went through."""
        if self.replica in {None, replica}:
            self.last = max(self.last, sent)

    def failed(self) -> None:
        """The store did not answer: try again soon."""
        self._retry_at = self._clock.monotonic() + min(self._seconds, LONGEST_RETRY)

    def stop(self) -> None:
        """The row is gone: beat no more, and tell."""
        self.replica = None
        lost, self._lost = self._lost, None
        if lost is not None:
            lost()
