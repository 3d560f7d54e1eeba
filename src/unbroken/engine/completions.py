"""How callers learn that a flow has ended: at once in this process, by a poll in another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from unbroken.model.records import Outcome, Status
from unbroken.stores.batch import NewMessage

COMPLETION = "~completion"


class Ended(msgspec.Struct, frozen=True):
    """An outcome, and the live exception if the flow failed in this process."""

    outcome: Outcome
    live: BaseException | None = None


class Completions:
    """Who waits for which flow."""

    def __init__(self) -> None:
        self._waiters: dict[int, list[asyncio.Future[Ended]]] = {}

    def wait_for(self, flow: int) -> asyncio.Future[Ended]:
        """Give a future that is answered when the flow ends."""
        future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(flow, []).append(future)
        return future

    def forget(self, flow: int, future: asyncio.Future[Ended]) -> None:
        """Stop waiting."""
        waiters = self._waiters.get(flow, [])
        if future in waiters:
            waiters.remove(future)
        if not waiters:
            self._waiters.pop(flow, None)

    def resolve(self, outcome: Outcome, live: BaseException | None = None) -> None:
        """Tell everyone who waits in this process."""
        for waiter in self._waiters.pop(outcome.flow.number, ()):
            if not waiter.done():
                waiter.set_result(Ended(outcome, live))

    def awaited(self, besides: Iterable[int]) -> tuple[int, ...]:
        """Give the flows waited for that do not run here."""
        return tuple(self._waiters.keys() - besides)

    def fail_all(self, error: Exception) -> None:
        """The app stops: nobody will be told any more."""
        waiters, self._waiters = self._waiters, {}
        for futures in waiters.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)


class Told(msgspec.Struct, frozen=True):
    """What a parent is told about its child."""

    status: Status
    body: str | None = None
    type: str | None = None
    error: str | None = None


def message_of(outcome: Outcome) -> NewMessage:
    """Make the message that tells a parent; its key comes from the parent's wait."""
    told = Told(outcome.status, outcome.body, outcome.type, outcome.error)
    return NewMessage("", COMPLETION, msgspec.json.encode(told).decode())


def told_in(body: str) -> Told:
    """Read such a message."""
    return msgspec.json.decode(body, type=Told)
