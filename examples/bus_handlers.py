"""Handlers of a message bus: one message at a time, or a batch, each line to the flow it is for.

    python examples/bus_handlers.py

A bus delivers at least once: what was handled but not acknowledged comes again. Kill the program
(kill -9) between the two, and start it again: the keys make the second delivery no second message.
So no table of seen ids is needed, and no outbox. The database and the bus (a file) are in the
current folder, or in $EXAMPLE_FOLDER.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from unbroken import Envelope, Flows, Unbroken, flow, messages

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
SECONDS = float(os.environ.get("EXAMPLE_SECONDS", "1"))  # between a delivery and its receipt

PARCELS = ("P-1", "P-2", "P-3")
PLACES = ("harbour", "rail", "door")


@dataclass
class Scanned:
    """Somebody scanned a parcel."""

    place: str


@flow
async def parcel_flow() -> list[str]:
    """Follow one parcel until it was scanned three times."""
    scans = await messages(Scanned).take(len(PLACES)).completion()
    return [scan.place for scan in scans]


# --- the handlers: this is all that a bus needs


async def handle(parcels: Flows[[], list[str]], line: str) -> None:
    """Handle one message. Its own id at the bus is the key."""
    parcel, place = line.split()
    await parcels.send_message(parcel, Scanned(place), key=line)


async def handle_batch(parcels: Flows[[], list[str]], lines: list[str]) -> None:
    """Handle many in few transactions; return when all are stored."""
    envelopes = [
        Envelope(parcel, Scanned(place), key=line)
        for line in lines
        for parcel, place in [line.split()]
    ]
    print(*await parcels.send_messages(envelopes))


# --- the bus


class Bus:
    """Stands for a broker: a list of lines, and a file that says how many are acknowledged."""

    lines = tuple(f"{parcel} {place}" for place in PLACES for parcel in PARCELS)
    file = FOLDER / "bus_handlers.acknowledged"

    def batches(self, size: int) -> Iterator[list[str]]:
        """Give what is not acknowledged, from the first line on."""
        rest = iter(self.lines[self.acknowledged() :])
        while batch := list(islice(rest, size)):
            yield batch

    def acknowledged(self) -> int:
        """Say how many lines need not come again."""
        return int(self.file.read_text()) if self.file.exists() else 0

    async def acknowledge(self, count: int) -> None:
        """Say that these need not come again."""
        await asyncio.sleep(SECONDS)
        self.file.write_text(str(self.acknowledged() + count))
        print("acknowledged")


async def main() -> None:
    """Start the parcels, or go on with them, and feed them from the bus."""
    bus = Bus()
    app = Unbroken(f"sqlite:///{FOLDER / 'bus_handlers.db'}")
    parcels = app.register(parcel_flow)
    async with app:
        await parcels.bulk_schedule(parcels.prepare(parcel) for parcel in PARCELS)
        for batch in bus.batches(4):
            if len(batch) == 1:
                await handle(parcels, batch[0])
            else:
                await handle_batch(parcels, batch)
            await bus.acknowledge(len(batch))
        for parcel in PARCELS:
            print(parcel, *await parcels.completion(parcel))


if __name__ == "__main__":
    asyncio.run(main())
