"""Come back later: a flow that finds the other side overloaded leaves and begins again.

    python examples/overloaded.py

What is captured before the pause is not done again; the question whether it is still overloaded is
not captured, on purpose, so that it is asked anew each time. The database and the list of calls are
in the current folder, or in $EXAMPLE_FOLDER.
"""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

from unbroken import Unbroken, capture, flow, postpone

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
PAUSE = timedelta(seconds=float(os.environ.get("EXAMPLE_SECONDS", "1")))


@flow
async def report_flow(title: str) -> str:
    """Write a report once, and print it when the printer has time."""
    report = await capture(write, title)
    if await printer.is_overloaded():
        await postpone(PAUSE)  # leaves memory; nothing after it is reached in this run
    return await capture(printer.print, report)


def write(title: str) -> str:
    """Write the report."""
    note(f"write {title}")
    return f"report on {title}"


class Printer:
    """Stands for a service that is busy at first: it looks at how often it was asked before."""

    async def is_overloaded(self) -> bool:
        """Say whether to come back later."""
        note("overloaded?")
        return calls().count("overloaded?") < 3

    def print(self, report: str) -> str:
        """Print it."""
        note(f"print {report}")
        return f"{report}, on paper"


printer = Printer()


def note(what: str) -> None:
    """Add a line to the list of calls, and say it."""
    with (FOLDER / "overloaded.calls").open("a") as lines:
        lines.write(f"{what}\n")
    print(what)


def calls() -> list[str]:
    """Give all calls so far."""
    return (FOLDER / "overloaded.calls").read_text().splitlines()


async def main() -> None:
    """Start the report, or go on with it, and wait for its end."""
    app = Unbroken(f"sqlite:///{FOLDER / 'overloaded.db'}")
    reports = app.register(report_flow)
    async with app:
        print("done:", await reports.run("R-1", "the year"))


if __name__ == "__main__":
    asyncio.run(main())
