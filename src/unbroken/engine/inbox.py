"""Messages waiting for a flow, as far as this process has read them.

A wait takes the lowest message it wants and leaves the rest to others. `counter` is the row's inbox
counter as of the last read, never the highest position: duplicates leave gaps (R2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from unbroken.model.records import Message


class Inbox:
    """The unconsumed messages of one flow, in order of position."""

    __slots__ = ("_messages", "_seen", "counter")

    def __init__(self, messages: Iterable[Message], counter: int) -> None:
        self._messages: list[Message] | None = list(messages) or None
        self._seen = max((m.position for m in self._messages or ()), default=0)
        self.counter = counter

    def add(self, message: Message) -> bool:
        """Take a message in; False if it was known already or is already consumed."""
        if message.position <= self._seen:
            return False
        self._seen = message.position
        if self._messages is None:
            self._messages = []
        self._messages.append(message)
        return True

    def follows(self, position: int) -> bool:
        """Whether a message with this position leaves no gap behind."""
        return position == self.counter + 1

    def take(self, wanted: Callable[[Message], bool], until: int | None = None) -> Message | None:
        """Remove and give the first wanted message that was sent up to an instant."""
        for index, message in enumerate(self._messages or ()):
            if (until is None or message.sent_at <= until) and wanted(message):
                return self._messages.pop(index) if self._messages else None
        return None

    def holds(self, wanted: Callable[[Message], bool]) -> bool:
        """Whether a wanted message is here; it stays."""
        return any(map(wanted, self._messages or ()))

    def __len__(self) -> int:
        return len(self._messages or ())
