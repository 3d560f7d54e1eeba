"""Where every choice of a run comes from, so that a run can be repeated, and made smaller."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Tape:
    """Draws whole numbers: from a recorded tape as far as it goes, then by chance, then zeros.

    Zero is always the dullest choice: no fault, the first in the queue, the shortest wait.
    """

    def __init__(self, seed: int | str, recorded: Sequence[int] | None = None) -> None:
        self._chance = random.Random(seed)
        self._recorded = recorded
        self.drawn: list[int] = []

    def draw(self, below: int) -> int:
        """Give a number in [0, below)."""
        if self._recorded is None:
            number = int(self._chance.random() * below)
        else:
            at = len(self.drawn)
            number = self._recorded[at] % below if at < len(self._recorded) else 0
        self.drawn.append(number)
        return number

    def is_one_in(self, many: int) -> bool:
        """Say yes once in so many times."""
        return self.draw(many) == many - 1 if many > 1 else True

    def pick(self, choices: Sequence[T]) -> T:
        """Give one of them."""
        return choices[self.draw(len(choices))]

    def fraction(self) -> float:
        """Give a float in [0, 1)."""
        return self.draw(1 << 20) / (1 << 20)
