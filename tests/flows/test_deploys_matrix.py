"""Each change of a program meets a flow at each of its points: it ends, and ends right."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.flows.apps import AT_ONCE, Apps, stored_effects
from unbroken import EffectInterrupted, capture, effect, flow, gather, message


@dataclass
class World:
    """What ran, and where the process is stopped: in the body that runs as number `stops_in`."""

    stops_in: int
    version: str = "old"
    ran: list[str] = field(default_factory=list[str])
    reached: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Effect:
    name: str
    once: bool = False
    aliases: Sequence[str] | None = None

    async def run(self, world: World) -> str:
        async def body(about: str) -> str:
            world.ran.append(self.name)
            if len(world.ran) == world.stops_in:
                world.reached.set()
                await asyncio.Event().wait()
            return f"{world.version} {self.name}"

        if self.once:
            work = effect(body, at_most_once=True, aliases=self.aliases)
        else:
            work = effect(body, aliases=self.aliases)
        try:
            return await capture(self.name, work, "order 7")
        except EffectInterrupted as interrupted:
            return f"unknown {interrupted.key}"


@dataclass(frozen=True)
class SideBySide:
    branches: tuple["Effect | SideBySide", ...]

    async def run(self, world: World) -> str:
        return " | ".join(await gather(*(branch.run(world) for branch in self.branches)))


Step = Effect | SideBySide
A, B, C = (Effect(name) for name in "abc")
ONCE_A, ONCE_B, ONCE_C = (Effect(name, once=True) for name in "abc")


def program(world: World, steps: Sequence[Step]) -> Any:
    @flow(name="deployed")
    async def deployed() -> list[str]:
        results = [await step.run(world) for step in steps]
        await message(str)
        return results

    return deployed


@dataclass(frozen=True)
class Change:
    """`kept`: the keys whose results of before the deploy must stand after it, by new key."""

    before: tuple[Step, ...]
    after: tuple[Step, ...]
    kept: dict[str, str]


def same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


CHANGES = {
    "nothing changed": Change((A, B, C), (A, B, C), same("a", "b", "c")),
    "added first": Change((A, B), (Effect("x"), A, B), same("a", "b")),
    "added between": Change((A, B), (A, Effect("x"), B), same("a", "b")),
    "added last": Change((A, B), (A, B, Effect("x")), same("a", "b")),
    "removed first": Change((A, B, C), (B, C), same("b", "c")),
    "removed between": Change((A, B, C), (A, C), same("a", "c")),
    "removed last": Change((A, B, C), (A, B), same("a", "b")),
    "reordered": Change((A, B, C), (C, A, B), same("a", "b", "c")),
    "reordered at most once": Change(
        (ONCE_A, ONCE_B, ONCE_C),
        tuple(Effect(name, once=True, aliases=[]) for name in "cab"),
        same("a", "b", "c"),
    ),
    "renamed": Change((A, B), (Effect("x", aliases=["a"]), B), {"x": "a", "b": "b"}),
    "renamed twice": Change((A, B), (Effect("y", aliases=["x", "a"]), B), {"y": "a", "b": "b"}),
    "renamed at most once": Change(
        (ONCE_A, ONCE_B),
        (Effect("x", once=True, aliases=["a"]), Effect("y", once=True, aliases=["b"])),
        {"x": "a", "y": "b"},
    ),
    "names exchanged with new ones": Change(
        (A, B), (Effect("b2", aliases=["b"]), Effect("a2", aliases=["a"])), {"a2": "a", "b2": "b"}
    ),
    "at most once added": Change(
        (ONCE_A, ONCE_B),
        (Effect("x", once=True, aliases=[]), ONCE_A, ONCE_B),
        same("a", "b"),
    ),
    "at most once removed": Change(
        (ONCE_A, ONCE_B), (Effect("b", once=True, aliases=[]),), same("b")
    ),
    "split": Change((A, C), (Effect("a1"), Effect("a2"), C), same("c")),
    "renamed without saying so": Change((A, B), (Effect("x"), B), same("b")),
    "made at most once": Change((A, B), (ONCE_A, B), same("a", "b")),
    "a loop grew": Change((A, A), (A, A, A), same("a", "a#2")),
    "a loop shrank": Change((A, A, A), (A, A), same("a", "a#2")),
    "a loop renamed": Change((A, A), (Effect("x", aliases=["a"]),) * 2, {"x": "a", "x#2": "a#2"}),
    "moved into a branch": Change((A, B), (SideBySide((A, C)), B), same("b")),
    "a branch added": Change(
        (SideBySide((A, B)),), (SideBySide((A, B, C)),), same("gather/0/a", "gather/1/b")
    ),
    "renamed in a branch": Change(
        (SideBySide((A, B)),),
        (SideBySide((Effect("x", aliases=["a"]), B)),),
        {"gather/0/x": "gather/0/a", "gather/1/b": "gather/1/b"},
    ),
}
POINTS = [
    pytest.param(change, point, id=f"{name}-{point}")
    for name, change in CHANGES.items()
    for point in range(1, 5)
]


def keys_of(steps: Sequence[Step], prefix: str = "") -> list[str]:
    """Give the keys of a program's effects, in the order of its results."""
    keys: list[str] = []
    names: list[str] = []
    for step in steps:
        name = step.name if isinstance(step, Effect) else "gather"
        names.append(name)
        use = names.count(name)
        key = f"{prefix}{name}" if use == 1 else f"{prefix}{name}#{use}"
        if isinstance(step, Effect):
            keys.append(key)
        else:
            for index, branch in enumerate(step.branches):
                keys += keys_of([branch], f"{key}/{index}/")
    return keys


async def stop_at_the_point(shared: Apps, world: World, steps: Sequence[Step]) -> dict[str, str]:
    """Run the old program until its point; give what is recorded then: kinds by key."""
    app = shared()
    flows = app.register(program(world, steps))
    await app.start()
    await flows.schedule("1")
    if world.stops_in <= len(keys_of(steps)):
        await world.reached.wait()
    else:
        await shared.clock.settle()
    await app.stop(AT_ONCE)
    client = shared(execute=False)
    async with client:
        return stored_effects(client, "1")


def expected(stored: dict[str, str], former: str | None, key: str) -> str:
    name = key.rpartition("/")[2].partition("#")[0]
    if former is None or (former not in stored and f"{former}.begun" not in stored):
        return f"new {name}"
    if former not in stored:
        return f"unknown {former}"
    return f"old {former.rpartition('/')[2].partition('#')[0]}"


@pytest.mark.parametrize(("change", "point"), POINTS)
async def test_a_flow_at_any_point_ends_right_after_a_deploy(
    shared: Apps, change: Change, point: int
) -> None:
    world = World(point)
    stored = await stop_at_the_point(shared, world, change.before)
    world.version, world.stops_in, world.ran = "new", 0, []
    app = shared()
    flows = app.register(program(world, change.after))
    async with app:
        await shared.clock.settle()
        await flows.send_message("1", "go")
        results = " | ".join(await flows.completion("1")).split(" | ")
    wanted = {key: expected(stored, change.kept.get(key), key) for key in keys_of(change.after)}
    assert dict(zip(wanted, results, strict=True)) == wanted
    fresh = [text.removeprefix("new ") for text in wanted.values() if text.startswith("new ")]
    assert sorted(world.ran) == sorted(fresh)


def test_the_changes_name_keys_that_are_there() -> None:
    for name, change in CHANGES.items():
        assert set(change.kept) <= set(keys_of(change.after)), name
        assert set(change.kept.values()) <= set(keys_of(change.before)), name
