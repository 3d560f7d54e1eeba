"""Messages waiting for a flow, as far as this process has read them.

A wait takes the lowest message it wants and leaves the rest to others; it looks at each message
once. Messages lie in lanes by the stored name of their type, so that a wait passes by what it
cannot want; those of the engine (their keys begin with `~`) are found by their keys. `counter` is
the row's inbox counter as of the last read, never the highest position: duplicates leave gaps (R2).
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from unbroken.model.records import Message

FEW = 32


def is_of_engine(message: Message) -> bool:
    """Whether the engine sent it: flows' waits for messages do not see it."""
    return message.key.startswith("~")


class Search:
    """What one wait looks for, and how far it has looked.

    `names` are the only types and keys that may match, `of_type` says whether a type may; without
    either, every message is asked about. `until` is the last instant at which it may be sent.
    """

    __slots__ = ("names", "of_type", "returns", "seen", "until", "wanted")

    def __init__(
        self,
        wanted: Callable[[Message], bool],
        *,
        until: int | None = None,
        names: frozenset[str] | None = None,
        of_type: Callable[[str], bool] | None = None,
    ) -> None:
        self.wanted = wanted
        self.until = until
        self.names = names
        self.of_type = of_type
        self.seen = 0
        self.returns = 0

    def may_want(self, type: str) -> bool:
        """Whether a message of this type may match."""
        if self.names is not None:
            return type in self.names
        return self.of_type is None or self.of_type(type)

    def wants(self, message: Message) -> bool:
        """Whether the wait takes this message."""
        return (self.until is None or message.sent_at <= self.until) and self.wanted(message)


class Lane:
    """Messages of one type, in order of position. Each operation costs the same on average."""

    __slots__ = ("_begin", "_messages", "_positions")

    def __init__(self) -> None:
        self._messages: dict[int, Message] = {}
        self._positions: list[int] = []  # with gone ones among them, never more than half
        self._begin = 0  # what lies before is gone

    def add(self, message: Message) -> None:
        """Take the newest message in."""
        self._messages[message.position] = message
        self._positions.append(message.position)

    def give_back(self, messages: Iterable[Message]) -> None:
        """Take older messages in again."""
        self._messages.update((message.position, message) for message in messages)
        self._positions = sorted(self._messages)
        self._begin = 0

    def remove(self, position: int) -> None:
        """Let a message go."""
        del self._messages[position]
        if len(self._positions) > 2 * len(self._messages) + FEW:
            self._positions = [one for one in self._positions if one in self._messages]
            self._begin = 0
        while self._begin < len(self._positions) and not self._is_here(self._begin):
            self._begin += 1

    def _is_here(self, index: int) -> bool:
        return self._positions[index] in self._messages

    def after(self, position: int) -> Iterator[Message]:
        """Give the messages behind a position."""
        first = bisect_right(self._positions, position, lo=self._begin)
        for index in range(first, len(self._positions)):
            message = self._messages.get(self._positions[index])
            if message is not None:
                yield message

    def __len__(self) -> int:
        return len(self._messages)


class Inbox:
    """The unconsumed messages of one flow, in order of position."""

    __slots__ = ("_lanes", "_of_engine", "_returns", "_seen", "counter")

    def __init__(self, messages: Iterable[Message], counter: int) -> None:
        self._lanes: dict[str, Lane] | None = None
        self._of_engine: dict[str, Message] | None = None
        self._seen = 0
        self._returns = 0
        self.counter = counter
        for message in messages:
            self.add(message)
        # What the counter counts and is not among them is consumed; a race that gives some of it
        # back says so, and nobody else may bring it.
        self._seen = max(self._seen, counter)

    def add(self, message: Message) -> bool:
        """Take a message in; False if it was known already or is already consumed."""
        if message.position <= self._seen:
            return False
        self._seen = message.position
        if is_of_engine(message):
            self._keep_of_engine(message)
        else:
            self._lane(message.type).add(message)
        return True

    def give_back(self, messages: Sequence[Message]) -> None:
        """Take messages in again that were taken and are not consumed after all."""
        self._returns += 1
        by_type: dict[str, list[Message]] = {}
        for message in messages:
            if is_of_engine(message):
                self._keep_of_engine(message)
            else:
                by_type.setdefault(message.type, []).append(message)
        for type_name, returned in by_type.items():
            self._lane(type_name).give_back(returned)

    def follows(self, position: int) -> bool:
        """Whether a message with this position leaves no gap behind."""
        return position == self.counter + 1

    def take(self, search: Search) -> Message | None:
        """Remove and give the first wanted message that this search has not looked at yet."""
        if search.returns != self._returns:
            search.returns, search.seen = self._returns, 0
        for message in self._of_names(search.names):
            if search.wants(message):
                self._remove(message)
                return message
        if self._lanes is None:
            return None
        for message in self._behind(search):
            search.seen = message.position
            if search.wants(message):
                self._remove(message)
                return message
        return None

    def take_named(self, key: str) -> Message | None:
        """Remove and give the engine's message with this key."""
        message = (self._of_engine or {}).get(key)
        if message is not None:
            self._remove(message)
        return message

    def holds(self, key: str) -> bool:
        """Whether the engine's message with this key is here; it stays."""
        return self._of_engine is not None and key in self._of_engine

    @property
    def is_empty(self) -> bool:
        """Whether nothing is here."""
        return self._lanes is None and self._of_engine is None

    def __len__(self) -> int:
        return len(self._of_engine or ()) + sum(map(len, (self._lanes or {}).values()))

    def _of_names(self, names: frozenset[str] | None) -> list[Message]:
        if self._of_engine is None or names is None:
            return []
        found = (self._of_engine[name] for name in names if name in self._of_engine)
        return sorted(found, key=_position)

    def _behind(self, search: Search) -> Iterator[Message]:
        """Give what the search has not looked at yet and may want, in order of position."""
        lanes = [
            lane.after(search.seen)
            for name, lane in (self._lanes or {}).items()
            if search.may_want(name)
        ]
        if len(lanes) == 1:
            return lanes[0]
        return heapq.merge(*lanes, key=_position)

    def _lane(self, type: str) -> Lane:
        if self._lanes is None:
            self._lanes = {}
        return self._lanes.setdefault(type, Lane())

    def _keep_of_engine(self, message: Message) -> None:
        self._of_engine = self._of_engine or {}
        self._of_engine[message.key] = message

    def _remove(self, message: Message) -> None:
        """Let a message go; what is empty goes too: flows that wait must stay small."""
        if is_of_engine(message):
            del (self._of_engine or {})[message.key]
            self._of_engine = self._of_engine or None
        elif self._lanes is not None:
            lane = self._lanes[message.type]
            lane.remove(message.position)
            if not lane:
                del self._lanes[message.type]
                self._lanes = self._lanes or None


def _position(message: Message) -> int:
    return message.position
