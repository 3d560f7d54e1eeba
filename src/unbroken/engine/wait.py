"""One branch's durable wait, as the incarnation keeps it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from unbroken.model.clock import Alarm

if TYPE_CHECKING:
    from unbroken.engine.standing import Standing


class Wait:
    """One branch's wait: what wakes it, and how long it may be held in memory."""

    __slots__ = ("alarm", "counted", "deadline", "future", "incarnation", "names", "stay")

    def __init__(
        self,
        future: asyncio.Future[None],
        *,
        deadline: int | None = None,
        stay: float | None = None,
        names: frozenset[str] | None = frozenset(),
        counted: bool = True,
    ) -> None:
        self.future = future
        self.deadline = deadline
        self.stay = stay
        self.names = names
        self.counted = counted
        self.alarm: Alarm | None = None
        self.incarnation: Standing | None = None

    def __call__(self) -> None:
        """The deadline is reached: let the branch look."""
        if self.incarnation is not None:
            self.incarnation.wake(self)
