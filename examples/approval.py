"""A signal to one flow: a person clicks, from another process, and clicks again.

    python examples/approval.py E-1                asks for the money
    python examples/approval.py E-1 bob            bob says yes, from another process

Kill the first one while it waits (kill -9), let bob click, and start it again. The database is in
the current folder, or in $EXAMPLE_FOLDER.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from unbroken import Unbroken, flow, message

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
URL = f"sqlite:///{FOLDER / 'approval.db'}"


@dataclass
class Approved:
    """Somebody says yes."""

    by: str


@flow
async def expense_flow() -> str:
    """Wait for one approval, however long it takes."""
    approved = await message(Approved)
    return f"approved by {approved.by}"


async def ask(expense_id: str) -> None:
    """Ask for the money, or go on with it, and wait for the answer."""
    app = Unbroken(URL)
    expenses = app.register(expense_flow)
    async with app:
        asked = await expenses.schedule(expense_id)
        print("waiting")
        print("done:", await asked.completion())


async def approve(expense_id: str, name: str) -> None:
    """Click twice. The key makes that one message, for as long as the flow exists."""
    app = Unbroken(URL, execute=False)
    expenses = app.register(expense_flow)
    async with app:
        inbox = expenses.message_writer(expense_id)
        for _ in range(2):
            print(await inbox.append(Approved(name), key=f"approved by {name}"))


if __name__ == "__main__":
    match sys.argv[1:]:
        case [expense_id]:
            asyncio.run(ask(expense_id))
        case [expense_id, name]:
            asyncio.run(approve(expense_id, name))
        case _:
            print(__doc__)
