"""Chance, as the engine sees it: one of the four interfaces."""

from __future__ import annotations

import random
import uuid
from typing import Protocol


class Random(Protocol):
    """Jitter and fresh ids."""

    def fraction(self) -> float:
        """Give a float in [0, 1)."""
        ...

    def new_id(self) -> str:
        """Give an id that was never given before, in any process."""
        ...


class SystemRandom:
    """The operating system's chance."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def fraction(self) -> float:
        return self._random.random()

    def new_id(self) -> str:
        return uuid.uuid4().hex
