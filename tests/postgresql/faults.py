"""What can happen to a request on its way to the server, or to its answer on the way back."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum, auto

import msgspec


class Where(StrEnum):
    """Where an exchange breaks; the first six cut the connection, the last two leave it open."""

    REQUEST_LOST = auto()  # nothing of the request reaches the server
    REQUEST_TORN = auto()  # the server gets its beginning, and the end of the connection
    REQUEST_LATE = auto()  # the client is cut off; the server gets it at `release`
    IN_FLIGHT = auto()  # both sides are cut off the moment it is sent
    ANSWER_LOST = auto()  # the server has done it; nothing of its answer comes back
    ANSWER_TORN = auto()  # only the beginning of its answer comes back
    REQUEST_HELD = auto()  # nothing goes on before `release`
    ANSWER_HELD = auto()  # the server has done it; its answer comes at `release`


DONE_BY_SERVER = frozenset({Where.ANSWER_LOST, Where.ANSWER_TORN, Where.ANSWER_HELD})
NEVER_WHOLE = frozenset({Where.REQUEST_LOST, Where.REQUEST_TORN})


class Strike(msgspec.Struct):
    """A fault that has happened. `landed` is the truth, where the proxy can know it."""

    where: Where
    text: str
    landed: bool | None = None


class Fault(msgspec.Struct):
    """A fault to come: whole requests that contain both texts, so many, after so many.

    `passing` is how many bytes of a torn message get through; without it, half of them.
    """

    where: Where
    text: str = ""
    also: str = ""
    times: int = 1
    after: int = 0
    passing: int | None = None

    def strikes(self, text: str) -> bool:
        """Whether this request is struck; counts those that are meant and spared."""
        if self.times == 0 or self.text not in text or self.also not in text:
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True

    def beginning_of(self, data: bytes) -> bytes:
        """Give what gets through of a torn message: never nothing, never all."""
        size = len(data) // 2 if self.passing is None else self.passing
        return data[: max(1, min(size, len(data) - 1))]


Chooser = Callable[[str], Fault | None]
