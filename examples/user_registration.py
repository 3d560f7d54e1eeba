"""A registration that waits for a click in an e-mail, for up to three days.

    python examples/user_registration.py ann@example.org            registers
    python examples/user_registration.py ann@example.org SECRET     clicks, from another process

Kill the first one while it waits (kill -9), click if you like, and start it again. The database and
the list of calls are in the current folder, or in $EXAMPLE_FOLDER.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

from unbroken import Unbroken, capture, flow, message

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
URL = f"sqlite:///{FOLDER / 'user_registration.db'}"


@dataclass
class EmailVerified:
    """The user opened the link in the e-mail."""

    secret: UUID


# --- the flow


@flow
async def registration(email: str) -> str:
    """Register a user, and activate the account once the address is verified."""
    user_id = await capture(users.register, email)
    secret = await capture("secret", uuid4)
    await capture(users.verify, email, secret)
    verified = await message(
        EmailVerified, where=lambda m: m.secret == secret, timeout=timedelta(days=3)
    )
    if verified is None:
        await capture(users.remove, user_id)
        return f"{email} was never verified"
    await capture(users.activate, user_id)
    return f"{email} is {user_id}"


# --- the world around it


class Users:
    """Stands for the user accounts and the mail server; it notes each call."""

    def register(self, email: str) -> str:
        """Create an account. An address has one account, however often this is called."""
        note(f"register {email}")
        return f"user:{email}"

    def verify(self, email: str, secret: UUID) -> None:
        """Send the e-mail with the link."""
        note(f"verify {email} {secret}")

    def activate(self, user_id: str) -> None:
        """Let the user in."""
        note(f"activate {user_id}")

    def remove(self, user_id: str) -> None:
        """Remove an account that was never verified."""
        note(f"remove {user_id}")


users = Users()


def note(what: str) -> None:
    """Add a line to the list of calls, and say it."""
    with (FOLDER / "user_registration.calls").open("a") as calls:
        calls.write(f"{what}\n")
    print(what)


# --- the programs


async def register(email: str) -> None:
    """Start the registration, or go on with it, and wait for its end."""
    app = Unbroken(URL)
    registrations = app.register(registration)
    async with app:
        print("done:", await registrations.run(email, email))


async def click(email: str, secret: UUID) -> None:
    """Send the message that the link stands for. `execute=False`: this process runs no flows."""
    app = Unbroken(URL, execute=False)
    registrations = app.register(registration)
    async with app:
        print(await registrations.send_message(email, EmailVerified(secret)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case [email, secret]:
            asyncio.run(click(email, UUID(secret)))
        case [email]:
            asyncio.run(register(email))
        case _:
            print(__doc__)
