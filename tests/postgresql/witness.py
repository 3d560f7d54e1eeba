"""What landed, by the server's own account, and what the store said of outcomes it did not know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from tests.crash.crashing_store import DelegatingStore
from tests.services import Database
from unbroken.model.errors import OutcomeUnknown
from unbroken.stores.batch import Batch, Receipt
from unbroken.stores.store import Store

# In the transaction that changes a fence: what is there has been committed, and what is not, not.
BEGIN = """
    CREATE TABLE landed_batches (replica text, generation bigint, number bigint);
    CREATE FUNCTION bear_witness() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO landed_batches VALUES (new.replica, new.generation, new.batch);
        RETURN NULL;
    END $$;
    CREATE TRIGGER witness AFTER UPDATE OF batch ON unbroken_fences
       FOR EACH ROW EXECUTE FUNCTION bear_witness()"""
END = """
    DROP TRIGGER witness ON unbroken_fences;
    DROP FUNCTION bear_witness;
    DROP TABLE landed_batches"""

Attempt = tuple[str, int, int]


class Witness:
    """Knows each batch that was committed, by replica, generation and number."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def landed(self) -> list[Attempt]:
        """Give every batch that has landed so far."""
        return self._database.run("SELECT replica, generation, number FROM landed_batches")

    def written(self, batch: Batch) -> set[bool]:
        """Say of the batch's effects whether they are stored: all or none, so one answer or no."""
        stored = set(
            self._database.run(
                "SELECT flow, key FROM unbroken_effects WHERE flow = ANY (%s)",
                [record.flow for record in batch.records],
            )
        )
        return {(record.flow, record.effect.key) in stored for record in batch.records}


@contextmanager
def witness_of(database: Database) -> Iterator[Witness]:
    """Let the server take down which batches land; the schema is there already."""
    database.run(BEGIN)
    try:
        yield Witness(database)
    finally:
        database.run(END)


class Settled(msgspec.Struct, frozen=True):
    """A batch whose outcome was unknown, what was found out, and whether its effects were there."""

    attempt: Attempt
    landed: bool
    written: set[bool]


class WatchingStore(DelegatingStore):
    """Takes down how each unknown outcome of a batch is settled, and what is stored just then."""

    def __init__(self, inner: Store, witness: Witness) -> None:
        super().__init__(inner)
        self._witness = witness
        self._unsettled: Batch | None = None
        self.settled: list[Settled] = []

    async def commit(self, batch: Batch) -> Receipt | None:
        assert self._unsettled is None, "an outcome was left unknown"
        try:
            return await self.inner.commit(batch)
        except OutcomeUnknown:
            self._unsettled = batch
            raise

    async def settle(self, replica: str, target: int) -> int | None:
        number = await self.inner.settle(replica, target)
        batch, self._unsettled = self._unsettled, None
        assert batch is not None
        attempt = (batch.replica, batch.generation, batch.number)
        written = self._witness.written(batch)
        self.settled.append(Settled(attempt, number == batch.number, written))
        return number

    def count(self, *, landed: bool) -> int:
        return sum(one.landed is landed for one in self.settled)
