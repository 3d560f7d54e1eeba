"""A newsletter to many customers: a flow that starts one child for each part of the list.

    python examples/newsletter.py

Start it in two terminals, and the children are shared by both; kill one (kill -9), and the other
takes over what it ran. The database and the list of e-mails are in the current folder, or in
$EXAMPLE_FOLDER.
"""

import asyncio
import os
from pathlib import Path

from unbroken import Unbroken, capture, current_flow, flow, gather

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
SECONDS = float(os.environ.get("EXAMPLE_SECONDS", "1"))  # how long an e-mail takes

PARTS = 3
CUSTOMERS = ["ann", "bob", "cleo", "dan", "eve", "finn", "gil", "hana", "ivo"]


# --- the flows


@flow
async def newsletter(text: str, customers: list[str]) -> int:
    """Start the children and wait for all of them; give how many e-mails were sent."""
    parts = [customers[first::PARTS] for first in range(PARTS)]
    children = [
        newsletter_part.run(f"{current_flow().id}, part {number}", text, part)
        for number, part in enumerate(parts, 1)
    ]
    return sum(await gather(*children))


@flow
async def newsletter_part(text: str, customers: list[str]) -> int:
    """Write to some of the customers; each e-mail is remembered under its customer's name."""
    for customer in customers:
        await capture(f"to {customer}", send, customer, text)
    return len(customers)


# --- the world around it


async def send(customer: str, text: str) -> None:
    """Stand for a mail server: note the e-mail in a file."""
    note(customer)
    print(f"to {customer}: {text}")
    await asyncio.sleep(SECONDS)


def note(customer: str) -> None:
    """Add a line to the list of e-mails."""
    with (FOLDER / "newsletter.calls").open("a") as calls:
        calls.write(f"{customer}\n")


# --- the program


async def main() -> None:
    """Send the newsletter, or go on with it, and wait for its end."""
    app = Unbroken(f"sqlite:///{FOLDER / 'newsletter.db'}")
    newsletters = app.register(newsletter)
    app.register(newsletter_part)
    async with app:
        print("e-mails:", await newsletters.run("spring", "our spring offers", CUSTOMERS))


if __name__ == "__main__":
    asyncio.run(main())
