"""Makes a failing sequence smaller, and prints it as a test.

python -m tests.stores.differential.shrinking SEED

Steps are left out as long as the rest still fails, then parts of the batches that remain.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from enum import Enum

import msgspec
from msgspec.structs import replace

from tests.stores.differential.comparing import Difference
from tests.stores.differential.fresh import run_seed, run_steps
from tests.stores.differential.steps import Commit, Step

TRIES = 600

# Runs a sequence on an empty store.
Judge = Callable[[Sequence[Step]], Awaitable[Difference | None]]


async def shrink(
    steps: Sequence[Step], found: Difference, judge: Judge, tries: int = TRIES
) -> list[Step]:
    """Give the shortest sequence found in which the same sort of difference shows."""
    best = list(steps)
    goes_on = True
    while goes_on:
        goes_on = False
        for candidate in _smaller(best):
            tries -= 1
            if tries < 0:
                return best
            difference = await judge(candidate)
            if difference is not None and difference.kind == found.kind:
                best, goes_on = candidate, True
                break
    return best


def _smaller(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Give sequences that lack something, those that lack most first."""
    size = max(1, len(steps) // 2)
    while True:
        for begin in range(len(steps) - size, -1, -size):
            yield [*steps[:begin], *steps[begin + size :]]
        if size == 1:
            break
        size //= 2
    for index, step in enumerate(steps):
        for less in _simpler(step):
            yield [*steps[:index], less, *steps[index + 1 :]]


def _simpler(step: Step) -> Iterator[Step]:
    """Give a commit without one of its parts, or with one that says less."""
    if not isinstance(step.what, Commit):
        return
    batch = step.what.batch
    for name in ("starts", "records", "states", "changes"):
        parts: tuple[msgspec.Struct, ...] = getattr(batch, name)
        for index, part in enumerate(parts):
            before, after = parts[:index], parts[index + 1 :]
            yield _with(step, name, (*before, *after))
            for less in _plainer(part):
                yield _with(step, name, (*before, less, *after))


def _plainer(part: msgspec.Struct) -> Iterator[msgspec.Struct]:
    """Give a part with one of its fields as it is when nothing is said."""
    for field in msgspec.structs.fields(part):
        if not field.required and getattr(part, field.name) != field.default:
            yield replace(part, **{field.name: field.default})


def _with(step: Step, name: str, parts: tuple[msgspec.Struct, ...]) -> Step:
    assert isinstance(step.what, Commit)
    return replace(step, what=Commit(replace(step.what.batch, **{name: parts})))


def as_python(value: object) -> str:
    """Write a value as Python, without what goes without saying."""
    if isinstance(value, msgspec.Struct):
        said = [
            f"{field.name}={as_python(getattr(value, field.name))}"
            for field in msgspec.structs.fields(value)
            if field.required or getattr(value, field.name) != field.default
        ]
        return f"{type(value).__name__}({', '.join(said)})"
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if type(value) is tuple:
        inside = ", ".join(map(as_python, value))
        return f"({inside},)" if inside else "()"
    return ascii(value)


def as_test(steps: Sequence[Step], difference: Difference) -> str:
    """Write a sequence as a test that fails as it did."""
    said = str(difference).encode("ascii", "backslashreplace").decode()
    lines = [f"# {line[:400]}" for line in said.splitlines()]
    lines += ["async def test_what_was_found(store: Store, clock: FakeClock) -> None:"]
    lines += ["    steps = ["]
    lines += [f"        {as_python(step)}," for step in steps]
    lines += ["    ]", "    assert await difference_in(store, clock, steps) is None"]
    return "\n".join(lines)


async def main() -> int:
    """Shrink a seed and print it as a test."""
    seed = int(sys.argv[1])
    comparison, difference = await run_seed(seed)
    if difference is None:
        print(f"seed {seed}: store and model agree")
        return 0
    steps = await shrink(comparison.steps, difference, run_steps)
    difference = await run_steps(steps)
    assert difference is not None
    print(as_test(steps, difference))
    return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
