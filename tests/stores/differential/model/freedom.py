"""What the protocol leaves to the store, so that a model can follow what a store chose."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec


class NotAllowed(Exception):
    """The store chose something that the protocol does not leave to it."""


class Chosen(msgspec.Struct, frozen=True):
    """What a store chose in a batch.

    `numbers` are those of new flows; of a claim which flows it gave, in order, and which it parked.
    """

    numbers: tuple[int, ...] = ()
    claimed: tuple[int, ...] = ()
    parked: frozenset[int] = frozenset()


class Freedom:
    """Takes `picks` one after the other, then always the first; remembers what there was to pick.

    `chosen` is what the store answered, if it answered something that it chose.
    """

    def __init__(self, picks: Sequence[int] = (), chosen: Chosen | None = None) -> None:
        self.chosen = chosen
        self.met: list[int] = []
        self._picks = picks
        self._numbered = 0

    def number(self, before: int, taken: Collection[int]) -> int:
        """Choose the number of a new flow: higher than any before the transaction ever was."""
        at, self._numbered = self._numbered, self._numbered + 1
        numbers = self.chosen.numbers if self.chosen else ()
        number = numbers[at] if at < len(numbers) else max(before, *taken, 0) + 1
        if number <= before or number in taken:
            raise NotAllowed(f"a new flow has the number {number}, one before it had {before}")
        return number

    def pick(self, options: int) -> int:
        """Choose one of so many options."""
        at = len(self.met)
        self.met.append(options)
        return self._picks[at] if at < len(self._picks) else 0

    def order(self, items: Sequence[str]) -> Iterator[str]:
        """Give items in an order that is the store's to choose."""
        rest = list(items)
        while len(rest) > 1:
            yield rest.pop(self.pick(len(rest)))
        yield from rest

    def following(self) -> tuple[int, ...] | None:
        """Give the picks to try after these; None if all were tried."""
        picks = [*self._picks, *([0] * len(self.met))][: len(self.met)]
        while picks:
            last = picks.pop() + 1
            if last < self.met[len(picks)]:
                return (*picks, last)
        return None
