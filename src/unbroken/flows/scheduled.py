"""A flow that was started and may be awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Generic, TypeVar

R = TypeVar("R")


class Scheduled(Generic[R]):
    """A started flow: `completion()` waits for its result."""

    def __init__(self, id: str, completion: Callable[[timedelta | None], Awaitable[R]]) -> None:
        self.id = id
        self._completion = completion

    async def completion(self, *, timeout: timedelta | None = None) -> R:
        """Wait for the result.

        Raises FlowFailed, FlowCancelled, FlowParked, and TimeoutError after `timeout`, which leaves
        the flow as it is. Inside a flow the wait is durable and takes no time-out.
        """
        return await self._completion(timeout)

    def __repr__(self) -> str:
        return f"Scheduled({self.id!r})"
