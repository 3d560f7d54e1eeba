"""Two answers in whatever order: waited for as long as it takes, or no longer than a limit.

    python examples/two_messages.py

`suspend_after` is no time-out: it says how long the flow stays in memory before it leaves and waits
as a row of the database. `until` is one: the answer is what came by then.
"""

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from unbroken import Unbroken, flow, messages

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
SECONDS = float(os.environ.get("EXAMPLE_SECONDS", "1"))  # how long the second one has time


@dataclass
class FundsReserved:
    """The bank has answered."""

    payment: str


@dataclass
class InventoryLocked:
    """The warehouse has answered."""

    shelf: int


Answer = FundsReserved | InventoryLocked


# --- the flows


@flow
async def patient_flow() -> list[str]:
    """Wait for both: half a minute in memory, then out of it."""
    both = messages(FundsReserved, InventoryLocked).take(2)
    answers = await both.completion(suspend_after=timedelta(seconds=30))
    return [told(answer) for answer in answers]


@flow
async def hurried_flow(limit: timedelta) -> list[str]:
    """Take what comes in time. The limit counts from here, over all crashes."""
    both = messages(FundsReserved, InventoryLocked).take(2).until(limit)
    return [told(answer) for answer in await both.completion()]


def told(answer: Answer) -> str:
    """Say what an answer says."""
    match answer:
        case FundsReserved(payment):
            return f"reserved by {payment}"
        case InventoryLocked(shelf):
            return f"locked in shelf {shelf}"


# --- the program


async def main() -> None:
    """Send both answers to the one flow, and only one to the other."""
    app = Unbroken(f"sqlite:///{FOLDER / 'two_messages.db'}")
    patient, hurried = app.register(patient_flow), app.register(hurried_flow)
    async with app:
        first = await patient.schedule("MK-1")
        second = await hurried.schedule("MK-2", timedelta(seconds=SECONDS))
        await patient.send_message("MK-1", InventoryLocked(7), key="warehouse")
        await hurried.send_message("MK-2", FundsReserved("payment 1"), key="bank")
        await patient.send_message("MK-1", FundsReserved("payment 2"), key="bank")
        print("patient:", await first.completion())
        print("hurried:", await second.completion())


if __name__ == "__main__":
    asyncio.run(main())
