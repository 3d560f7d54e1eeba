"""A person repairs what no program can: other arguments, and an effect that may run again.

    python examples/control_panel.py                        the order
    python examples/control_panel.py look                   what is recorded of it
    python examples/control_panel.py address "1 Old Street" begin again with another address
    python examples/control_panel.py ship                   it was not shipped: it may be

The address is wrong at first, so the order fails. Kill the next run (kill -9) while it ships, and
nobody knows whether the parcel left: only a person can say that it did not. The database and the
list of calls are in the current folder, or in $EXAMPLE_FOLDER.
"""

import asyncio
import os
import sys
from pathlib import Path

from unbroken import ControlPanel, FlowFailed, Flows, Unbroken, capture, effect, flow

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
SECONDS = float(os.environ.get("EXAMPLE_SECONDS", "1"))  # how long shipping takes
ORDER = "MK-1"


class UnknownAddress(Exception):
    """The post does not know it."""


# --- the flow


@flow
async def order_flow(address: str) -> str:
    """Pack, find the address, ship."""
    await capture(pack)
    place = await capture(find_address, address)
    return await capture("ShipProducts", effect(ship, at_most_once=True), place)


def pack() -> None:
    """Pack the parcel."""
    note("pack")


def find_address(address: str) -> str:
    """Ask the post."""
    note(f"find {address}")
    if address == "nowhere":
        raise UnknownAddress(address)
    return address


async def ship(address: str) -> str:
    """Send the parcel."""
    note(f"ship to {address}")
    await asyncio.sleep(SECONDS)
    return f"sent to {address}"


def note(what: str) -> None:
    """Add a line to the list of calls, and say it."""
    with (FOLDER / "control_panel.calls").open("a") as calls:
        calls.write(f"{what}\n")
    print(what)


# --- the person


async def panel_of(orders: Flows[[str], str]) -> ControlPanel[[str], str]:
    """Take a picture of the order."""
    panel = await orders.control_panel(ORDER)
    if panel is None:
        raise SystemExit("there is no order yet")
    return panel


async def look(orders: Flows[[str], str]) -> None:
    """Show where the order stands and what it has recorded."""
    panel = await panel_of(orders)
    print(panel.status, *panel.args, panel.error.message if panel.error else "")
    for recorded in await panel.effects.all():
        print(" ", recorded.name)


async def correct(orders: Flows[[str], str], address: str) -> None:
    """Give the order another address, and let it begin again."""
    panel = await panel_of(orders)
    panel.set_param(address)
    await panel.restart()


async def allow_shipping(orders: Flows[[str], str]) -> None:
    """Somebody has looked: the parcel is still here, so the order may ship it."""
    panel = await panel_of(orders)
    await panel.effects.remove("ShipProducts")
    await panel.restart()


# --- the programs


async def run() -> None:
    """Start the order, or go on with it, and wait for its end."""
    app = Unbroken(f"sqlite:///{FOLDER / 'control_panel.db'}")
    orders = app.register(order_flow)
    async with app:
        try:
            if await orders.control_panel(ORDER) is None:
                await orders.schedule(ORDER, "nowhere")
            print("done:", await orders.completion(ORDER))
        except FlowFailed as failure:
            print("a person must look:", failure.error.message)


async def help_out(words: list[str]) -> None:
    """Do one thing with the panel; this process runs no flows."""
    app = Unbroken(f"sqlite:///{FOLDER / 'control_panel.db'}", execute=False)
    orders = app.register(order_flow)
    async with app:
        match words:
            case ["look"]:
                await look(orders)
            case ["address", address]:
                await correct(orders, address)
            case ["ship"]:
                await allow_shipping(orders)
            case _:
                print(__doc__)


if __name__ == "__main__":
    asyncio.run(help_out(sys.argv[1:]) if sys.argv[1:] else run())
