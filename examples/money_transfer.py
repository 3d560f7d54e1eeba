"""Money from one account to another, both or neither: what was begun is rolled back on failure.

    python examples/money_transfer.py

It makes two transfers; the second one goes to a closed account. Kill it wherever you like (kill -9)
and start it again: no money is lost or made. The database and the bank's book are in the current
folder, or in $EXAMPLE_FOLDER.
"""

import asyncio
import os
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4, uuid5

from unbroken import FlowFailed, Unbroken, capture, flow

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
SECONDS = float(os.environ.get("EXAMPLE_SECONDS", "1"))  # how long the bank takes to answer


class TransferFailed(Exception):
    """The bank refuses."""


# --- the flow


@flow
async def transfer(source: str, target: str, amount: Decimal) -> None:
    """Move money. An error is remembered like a result: after a crash the same one is raised."""
    debit: UUID | None = None
    credit: UUID | None = None
    transfer_id = await capture(uuid4)
    try:
        debit = await capture("debit", bank.start, transfer_id, source, -amount)
        credit = await capture("credit", bank.start, transfer_id, target, amount)
        await capture("complete debit", bank.complete, debit)
        await capture("complete credit", bank.complete, credit)
    except TransferFailed:
        # Compensate here and not in `finally`, which also runs when a flow leaves memory to wait.
        if credit is not None:
            await capture("roll back credit", bank.roll_back, credit)
        if debit is not None:
            await capture("roll back debit", bank.roll_back, debit)
        raise


# --- the bank


class Bank:
    """Stands for a bank; its book is a file. A call made twice is written twice and counts once."""

    book = FOLDER / "money_transfer.calls"

    async def start(self, transfer_id: UUID, account: str, amount: Decimal) -> UUID:
        """Begin a movement; the same transfer and account are the same movement."""
        if account == "closed":
            await self.write(f"refuse {account} {amount}")
            raise TransferFailed(f"account {account!r} takes no money")
        movement = uuid5(transfer_id, account)
        await self.write(f"start {movement} {account} {amount}")
        return movement

    async def complete(self, movement: UUID) -> None:
        """Make a movement final."""
        await self.write(f"complete {movement}")

    async def roll_back(self, movement: UUID) -> None:
        """Give a movement up."""
        await self.write(f"roll-back {movement}")

    async def write(self, what: str) -> None:
        """Write a line into the book; a bank is slow."""
        self.add(what)
        print(what)
        await asyncio.sleep(SECONDS)

    def add(self, line: str) -> None:
        """Add a line to the book."""
        with self.book.open("a") as book:
            book.write(f"{line}\n")

    def balances(self) -> dict[str, Decimal]:
        """Add up the movements that were completed."""
        lines = [line.split() for line in dict.fromkeys(self.book.read_text().splitlines())]
        completed = {words[1] for words in lines if words[0] == "complete"}
        sums: dict[str, Decimal] = {}
        for words in lines:
            if words[0] == "start" and words[1] in completed:
                sums[words[2]] = sums.get(words[2], Decimal(0)) + Decimal(words[3])
        return sums


bank = Bank()


# --- the program


async def main() -> None:
    """Make the transfers, or go on with them, and show what the accounts gained and lost."""
    app = Unbroken(f"sqlite:///{FOLDER / 'money_transfer.db'}")
    transfers = app.register(transfer)
    async with app:
        await transfers.run("T-1", "ann", "bob", Decimal("100.00"))
        try:
            await transfers.run("T-2", "ann", "closed", Decimal("50.00"))
        except FlowFailed as failure:
            print(failure)
    for account, gained in bank.balances().items():
        print(f"balance of {account}: {gained:+}")


if __name__ == "__main__":
    asyncio.run(main())
