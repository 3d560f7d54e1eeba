"""A year of a membership: an e-mail today, one after a month, and one after a year.

    python examples/schedule.py ann@example.org           a real year
    python examples/schedule.py ann@example.org 0.1       a year in which a day takes 0.1 s

The program need not run all that time: kill it (kill -9), start it again any day, and it goes on.
What fell due meanwhile is done at once. The database and the list of e-mails are in the current
folder, or in $EXAMPLE_FOLDER.
"""

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

from unbroken import Unbroken, capture, flow, sleep

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))


@flow
async def membership(email: str, day: timedelta) -> str:
    """Write to a member in the course of a year. While it sleeps, it is one row in the database."""
    await capture("welcome", send, email, "welcome")
    await sleep(30 * day)
    await capture("ask", send, email, "how do you like it?")
    await sleep(335 * day)
    await capture("renew", send, email, "your year is over, stay with us")
    return "a year has passed"


def send(email: str, text: str) -> None:
    """Stand for a mail server: note the e-mail in a file."""
    with (FOLDER / "schedule.calls").open("a") as calls:
        calls.write(f"{text}\n")
    print(f"to {email}: {text}")


async def main(email: str, day: timedelta) -> None:
    """Begin the year, or go on with it, and wait for its end."""
    app = Unbroken(f"sqlite:///{FOLDER / 'schedule.db'}")
    members = app.register(membership)
    async with app:
        print("done:", await members.run(email, email, day))


if __name__ == "__main__":
    match sys.argv[1:]:
        case [email]:
            asyncio.run(main(email, timedelta(days=1)))
        case [email, seconds]:
            asyncio.run(main(email, timedelta(seconds=float(seconds))))
        case _:
            print(__doc__)
