"""What a mutant is, and how one is made: a statement that says something else, or a method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, cast
from unittest.mock import patch

import msgspec

from unbroken.stores.sqlite.connection import SQL

Patch = Callable[[], AbstractContextManager[object]]


class Mutant(msgspec.Struct, frozen=True):
    """What is broken, and how.

    `ground`: the weather and the words in which it is looked for, if that is not left to each seed:
    there it comes to light sooner. `survives`: why the simulator does not find it out: mostly a
    second belt, which another mutant takes away too. `is_slow`: it needs more seeds than the tests
    can spend, and only `make mutants` looks for it.
    """

    what: str
    apply: Patch
    ground: Patch = nullcontext
    survives: str = ""
    is_slow: bool = False


def sql(name: str, text: str, instead: str) -> Patch:
    """Change a statement of the store, in one place."""

    def apply() -> AbstractContextManager[object]:
        whole = SQL[name]
        assert whole.count(text) == 1, f"{name} does not say {text!r} once: change the mutant too"
        statements = cast("dict[str, str]", SQL)
        return patch.dict(statements, {name: whole.replace(text, instead)})

    return apply


def statement(name: str, instead: str) -> Patch:
    """Put another statement in the place of one."""
    statements = cast("dict[str, str]", SQL)
    assert name in statements, name
    return lambda: patch.dict(statements, {name: instead})


def method(owner: Any, name: str, instead: Any) -> Patch:
    """Put another function in the place of one."""
    assert hasattr(owner, name), f"{owner} has no {name} any more: change the mutant too"
    return lambda: patch.object(owner, name, instead)


def all_of(*patches: Patch) -> Patch:
    """Apply several, of which each alone is covered by another."""

    @contextmanager
    def apply() -> Iterator[None]:
        with ExitStack() as stack:
            for one in patches:
                stack.enter_context(one())
            yield

    return apply


def on(ground: Patch, *mutants: Mutant) -> tuple[Mutant, ...]:
    """Let mutants be looked for on a ground, but those that have their own."""
    return tuple(
        msgspec.structs.replace(one, ground=ground) if one.ground is nullcontext else one
        for one in mutants
    )


def by_name(*groups: Sequence[Mutant]) -> dict[str, Mutant]:
    """Put mutants together; each name stands once."""
    found = {one.what: one for group in groups for one in group}
    assert len(found) == sum(map(len, groups)), "two mutants have one name"
    return found


async def nothing(*_: object, **__: object) -> None:
    """Do nothing."""


def nothing_now(*_: object, **__: object) -> None:
    """Do nothing."""
