"""Wake-ups between processes: one of the four interfaces.

A bus only makes things faster. Whatever it loses, a poll finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Bus(Protocol):
    """Says that another process may have changed the store."""

    async def listen(self, wake: Callable[[], None], regroup: Callable[[], None]) -> None:
        """Call `wake` whenever another process may have written; runs until it is cancelled.

        Call `regroup` when a replica may have come, or is known to have died.
        """
        ...


class SilentBus:
    """A bus for a store that only this process can see."""

    async def listen(self, wake: Callable[[], None], regroup: Callable[[], None]) -> None:
        """Return at once: nobody else writes."""
