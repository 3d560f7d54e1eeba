"""One open transaction: statements by name, whatever database runs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

Row = tuple[Any, ...]


class DamagedRow(Exception):
    """A row that makes no sense: its flow is parked, or the store says StoreCorrupt."""


class Transaction(Protocol):
    """Statements of a catalogue in one open transaction.

    A driver that answers at once may run the work without an event loop: nothing else is awaited.
    """

    @property
    def now(self) -> int:
        """Give the store's time at which the transaction runs."""
        ...

    async def all(self, name: str, /, **values: object) -> Sequence[Row]:
        """Run a statement and read every row; raises DamagedRow."""
        ...

    async def first(self, name: str, /, **values: object) -> Row | None:
        """Run a statement and read its only row, if there is one; raises DamagedRow."""
        ...

    async def change(self, name: str, /, **values: object) -> int:
        """Run a statement and count the rows it changed."""
        ...

    async def insert(self, name: str, /, **values: object) -> int | None:
        """Run an insert and give the number of its row; None if the row was there."""
        ...

    async def change_many(
        self, name: str, /, rows: Sequence[Mapping[str, object] | Sequence[object]]
    ) -> int:
        """Run a statement for each of the rows and count the rows it changed in all."""
        ...

    def array(self, values: Iterable[object]) -> object:
        """Give a list in the form in which this database takes one as a parameter."""
        ...

    def tells_damage(self, error: Exception) -> bool:
        """Whether an error says that a part of the database cannot be read."""
        ...

    async def lock(self, flows: Sequence[int], names: Sequence[tuple[str, str]]) -> None:
        """Let nobody else change these flows, known by number or by type and id, until the end."""
        ...

    async def lock_queues(self, queues: Iterable[str]) -> None:
        """Let nobody else change the queues of these locks until the end."""
        ...
