"""Who in this process waits for the reply to which question: told at once, or by a poll."""

from __future__ import annotations

import asyncio

from unbroken.model.records import Reply
from unbroken.stores.store import Question


class Replies:
    """The open questions of this process's callers."""

    def __init__(self) -> None:
        self._waiters: dict[Question, list[asyncio.Future[Reply]]] = {}

    def wait_for(self, question: Question) -> asyncio.Future[Reply]:
        """Give a future that is answered with the reply."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(question, []).append(future)
        return future

    def forget(self, question: Question, future: asyncio.Future[Reply]) -> None:
        """Stop waiting."""
        waiters = self._waiters.get(question, [])
        if future in waiters:
            waiters.remove(future)
        if not waiters:
            self._waiters.pop(question, None)

    def resolve(self, question: Question, reply: Reply) -> None:
        """Tell everyone who waits in this process."""
        for waiter in self._waiters.pop(question, ()):
            if not waiter.done():
                waiter.set_result(reply)

    def asked(self) -> tuple[Question, ...]:
        """Give what a poll should look for."""
        return tuple(self._waiters)
