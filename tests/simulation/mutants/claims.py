"""Mutants of finding work: claims, orphans, the death of others, handing over."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.simulation.mutants import grounds
from tests.simulation.mutants.mutant import Mutant, all_of, method, nothing, on, sql
from unbroken.engine.engine import Engine
from unbroken.engine.executor import Executor
from unbroken.engine.poller import Poller
from unbroken.engine.reaper import Reaper
from unbroken.model.errors import StoreError
from unbroken.model.records import Claimed
from unbroken.stores.batch import Receipt

STALE_DEAD = sql(
    "dead_owners",
    "id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM replicas r WHERE r.id = owners.id)",
    "id IS NOT NULL",
)
ALIVE = "NOT EXISTS (SELECT 1 FROM replicas r WHERE r.id = d.value)"
UNCHECKED = all_of(sql("orphans", ALIVE, "1"), sql("suspect_orphans", ALIVE, "1"))

CLAIM = Poller._claim
LOOK = Reaper._look
LOOK_ONCE = Poller._look_once


async def claim_and_forget(self: Poller, limit: int) -> Receipt | None:
    """Forget who is dead before the claim has landed."""
    dead, self.dead = self.dead, set()
    before = set(dead)
    self.dead = dead
    try:
        return await CLAIM(self, limit)
    finally:
        self.dead -= before


async def look_for_fresh_deaths(self: Reaper) -> float:
    """Tell only of those whose row was deleted here and now."""
    told, self._on_dead = self._on_dead, lambda _: None
    services = self._services
    reap, found = services.store.reap, []

    async def watch(me: str, lease: int) -> Any:
        found.append(await reap(me, lease))
        return found[-1]

    services.store.reap = watch  # type: ignore[method-assign]
    try:
        pause = await LOOK(self)
    finally:
        del services.store.reap  # type: ignore[misc]
        self._on_dead = told
    if found and found[-1].removed:
        told(found[-1].dead)
    return pause


async def look_until_an_error(self: Reaper) -> float:
    """Look no more once the store did not answer."""
    try:
        return await LOOK(self)
    except StoreError:
        await asyncio.get_running_loop().create_future()
        raise


async def poll_until_an_error(self: Poller) -> None:
    """Look no more once the store did not answer."""
    try:
        await LOOK_ONCE(self)
    except StoreError:
        await asyncio.get_running_loop().create_future()
        raise


def run_a_second_time(self: Executor, claimed: Claimed, *, again: bool = False) -> None:
    """Begin a flow that runs here already."""
    self.residents.pop(claimed.flow.number, None)
    RUN(self, claimed, again=again)


RUN = Executor.run

MUTANTS = on(
    grounds.TALK_OF_THE_DYING,
    Mutant(
        "a claim leaves the incarnation",
        sql("claim", "incarnation = incarnation + 1", "incarnation = incarnation"),
    ),
    Mutant("a claimed flow stays due", sql("claim", "due_at = NULL", "due_at = due_at")),
    Mutant(
        "who lives is looked up by nobody before a claim",
        UNCHECKED,
        survives="no id is used twice: who was dead once is dead at the claim too",
    ),
    Mutant(
        "the living are told among the dead",
        STALE_DEAD,
        survives="the claim looks again, in its own transaction",
    ),
    Mutant("a claim robs a living owner", all_of(UNCHECKED, STALE_DEAD), grounds.DEATHS),
    Mutant(
        "each loss of a replica counts, whatever was recorded in between",
        sql("claim", "THEN 1 ELSE crashes + 1 END", "THEN crashes + 1 ELSE crashes + 1 END"),
        grounds.TALK_OF_THE_DYING,
        is_slow=True,
    ),
    Mutant(
        "a flow that takes its process down again and again is never parked",
        sql("claim", "ELSE crashes + 1 END", "ELSE crashes END"),
        grounds.POISON,
    ),
    Mutant(
        "the dead are forgotten before their flows are claimed",
        method(Poller, "_claim", claim_and_forget),
        survives="the reaper tells of owners without a row each time it looks",
    ),
    Mutant(
        "the dead are told once",
        method(Reaper, "_look", look_for_fresh_deaths),
        grounds.TALK_OF_THE_DYING,
        survives="who was told keeps asking for their flows",
    ),
    Mutant(
        "the dead are told once, and forgotten before their flows are claimed",
        all_of(
            method(Poller, "_claim", claim_and_forget),
            method(Reaper, "_look", look_for_fresh_deaths),
        ),
        grounds.TALK_OF_THE_DYING,
        is_slow=True,
    ),
    Mutant(
        "an error ends the reaper",
        method(Reaper, "_look", look_until_an_error),
        survives="who is started in the place of the dead looks itself",
    ),
    Mutant("an error ends the poller", method(Poller, "_look_once", poll_until_an_error)),
    Mutant(
        "a flow that is here begins a second time",
        method(Executor, "run", run_a_second_time),
        survives="nobody hands over a flow that is here",
    ),
    Mutant(
        "a released flow is not due",
        sql("release", "due_at = :now", "due_at = NULL"),
        grounds.STOPS,
    ),
    Mutant(
        "a stop waits for nobody",
        method(Engine, "_hand_over", nothing),
        survives="all is sealed then, and others claim what has no owner with a row",
    ),
    Mutant(
        "a stop waits for nobody, and nothing is sealed",
        all_of(
            method(Engine, "_hand_over", nothing),
            method(Executor, "give_up_all", lambda self: self.residents.clear()),
        ),
        grounds.STOPS,
        is_slow=True,
    ),
)
