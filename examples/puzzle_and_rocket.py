"""Hard work that a crash must not cost twice, and a button that must not be pressed twice.

    python examples/puzzle_and_rocket.py

Kill it while it thinks or while it counts down (kill -9), and start it again. The database and the
list of calls are in the current folder, or in $EXAMPLE_FOLDER.
"""

import asyncio
import hashlib
import os
import time
from pathlib import Path

from unbroken import EffectInterrupted, Unbroken, capture, effect, flow

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
SECONDS = float(os.environ.get("EXAMPLE_SECONDS", "1"))  # how long thinking and counting take


# --- the flows


@flow
async def puzzle_flow(digest: str) -> str:
    """Solve a puzzle once, and tell of it."""
    solution = await capture("puzzle_solution", solver.solve, digest)
    await capture(solver.announce, solution)
    return solution


@flow
async def rocket_flow() -> str:
    """Fire one rocket. If nobody knows whether it left, somebody looks."""
    await effect(rockets.fuel, at_most_once=True)(100)  # in place, under the function's own name
    try:
        return await capture("fire_rocket", effect(rockets.fire, at_most_once=True))
    except EffectInterrupted:
        return await capture(rockets.look_at_the_sky)


# --- the world around them


class Solver:
    """Finds the number behind a digest, by trying all of them."""

    def solve(self, digest: str) -> str:
        """Try every number. A plain function runs in a thread, so it may take its time."""
        note(f"solve {digest[:6]}")
        time.sleep(SECONDS)
        numbers = (str(number) for number in range(10_000))
        return next(number for number in numbers if digest_of(number) == digest)

    def announce(self, solution: str) -> None:
        """Tell the world."""
        note(f"announce {solution}")


class Rockets:
    """There is a button, and it asks no questions."""

    def fuel(self, percent: int) -> None:
        """Fill the tank; it would not hold it twice."""
        note(f"fuel {percent} %")

    async def fire(self) -> str:
        """Count down, and press it."""
        note("fire")
        await asyncio.sleep(SECONDS)
        return "it flies"

    def look_at_the_sky(self) -> str:
        """Find out what no record can tell."""
        note("look at the sky")
        return "somebody saw it fly"


def digest_of(number: str) -> str:
    """Give what the puzzle shows of a number."""
    return hashlib.sha256(number.encode()).hexdigest()


def note(what: str) -> None:
    """Add a line to the list of calls, and say it."""
    with (FOLDER / "puzzle_and_rocket.calls").open("a") as calls:
        calls.write(f"{what}\n")
    print(what)


solver, rockets = Solver(), Rockets()


# --- the program


async def main() -> None:
    """Solve the puzzle, then fire the rocket."""
    app = Unbroken(f"sqlite:///{FOLDER / 'puzzle_and_rocket.db'}")
    puzzles, launches = app.register(puzzle_flow), app.register(rocket_flow)
    async with app:
        print("the number:", await puzzles.run("P-1", digest_of("7283")))
        print("the rocket:", await launches.run("R-1"))


if __name__ == "__main__":
    asyncio.run(main())
