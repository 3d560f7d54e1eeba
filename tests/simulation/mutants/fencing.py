"""Mutants of the replica's row: its fence, its beat, its id, and what an unknown outcome means."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.simulation.mutants import grounds
from tests.simulation.mutants.mutant import (
    Mutant,
    all_of,
    method,
    nothing,
    nothing_now,
    sql,
    statement,
)
from tests.simulation.mutants.owners import ANY_RECORD
from unbroken.engine import batching, committer
from unbroken.engine.batching import AnyEntry, Entry
from unbroken.engine.committer import Committer
from unbroken.engine.engine import Engine
from unbroken.engine.executor import Executor
from unbroken.engine.replica import Replica
from unbroken.model.randomness import Random
from unbroken.model.records import Delivery
from unbroken.stores.batch import Answer, Append, Appended, Changed

NO_GENERATION = sql("fence", "AND generation = :generation", "")
NO_BATCH_NUMBER = sql("fence", "AND batch = :number - 1", "")
SETTLED_BY_READING = sql("settle", "generation = :target", "generation = generation")


async def assume_landed(self: Replica) -> bool:
    """Take an unknown outcome for done, without changing the row."""
    return True


async def assume_lost(self: Replica) -> bool:
    """Take an unknown outcome for not done, without changing the row."""
    return False


def forget_to_seal(self: Executor) -> None:
    """Let incarnations of a dead replica run on."""
    self.residents.clear()


REGISTER = Replica.register
DROP = Committer._drop


class OneId:
    """Chance that gives always the same id."""

    def __init__(self, chance: Random, id: str) -> None:
        self.fraction = chance.fraction
        self.new_id = lambda: id


async def register_as_before(self: Replica, lost: Any) -> None:
    """Come back under the id that was declared dead."""
    await _register_as(self, self.id or self._random.new_id(), lost)


async def register_stubbornly(self: Replica, lost: Any) -> None:
    """Try one id until an insert is answered."""
    await _register_as(self, self._random.new_id(), lost)


async def _register_as(replica: Replica, id: str, lost: Any) -> None:
    chance = replica._random
    replica._random = OneId(chance, id)
    try:
        await REGISTER(replica, lost)
    finally:
        replica._random = chance


def drop_whatever(entry: AnyEntry) -> bool:
    """Let requests from outside go down with the replica."""
    if not DROP(entry):
        entry.answer_fenced()
    return True


def ask_under_another_key(entry: AnyEntry, owned: dict[int, int]) -> bool:
    """Send messages again under keys that are made anew with each try."""
    if isinstance(entry, Entry):
        others = {id(part): _with_other_keys(part) for part in entry.parts}
        entry.parts = tuple(others.values())
        entry._all = tuple(others.get(id(part), part) for part in entry._all)
    return REMAINS(entry, owned)


def _with_other_keys(part: Any) -> Any:
    if type(part) is not Append or part.cancels:
        return part
    messages = tuple(msgspec.structs.replace(one, key=f"{one.key}+") for one in part.messages)
    return msgspec.structs.replace(part, messages=messages)


def answer_sends_unasked(entry: AnyEntry, owned: dict[int, int]) -> bool:
    """Take a send that landed for one that was accepted."""
    if isinstance(entry, Entry) and len(entry.parts) == 1 and type(entry.parts[0]) is Append:
        count = len(entry.parts[0].messages)
        entry.answer((Appended((Delivery.ACCEPTED,) * count),))
        return False
    return REMAINS(entry, owned)


def ask_all_again(entry: AnyEntry, owned: dict[int, int]) -> bool:
    """Send again what has landed."""
    return True


def accepted_if_landed(part: object, owned: dict[int, int]) -> Changed:
    """Take what landed for what was accepted."""
    return Changed(Answer.ACCEPTED)


async def fail_together(self: Committer, entries: list[AnyEntry], error: Exception) -> None:
    """Let all that shared a refused batch fail."""
    for entry in entries:
        entry.fail(error)


REMAINS = batching.remains_after_landing

FENCE = (
    Mutant("batches have no number", NO_BATCH_NUMBER),
    Mutant(
        "batches have no generation",
        NO_GENERATION,
        grounds.UNKNOWNS,
        survives="the batch number refuses what comes late; it costs a false death",
    ),
    Mutant("batches have neither number nor generation", all_of(NO_BATCH_NUMBER, NO_GENERATION)),
    Mutant(
        "a batch brings its replica's row back",
        statement(
            "fence",
            """INSERT INTO replicas (id, generation, batch, beat, lease)
               VALUES (:replica, :generation, :number, :now, 2000000)
               ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, beat = excluded.beat""",
        ),
    ),
    Mutant(
        "a beat brings its replica's row back",
        statement(
            "beat",
            """INSERT INTO replicas (id, generation, batch, beat, lease)
               VALUES (:replica, 0, 0, :now, 2000000)
               ON CONFLICT (id) DO UPDATE SET beat = excluded.beat""",
        ),
        grounds.ZOMBIES,
        is_slow=True,
    ),
    Mutant(
        "beats are told by the clock of each process",
        all_of(
            sql("beat", "beat = :now", "beat = :now + (substr(:replica, 3) % 3 - 1) * 3600000000"),
            sql("fence", "beat = :now", "beat = :now + (substr(:replica, 3) % 3 - 1) * 3600000000"),
        ),
    ),
    Mutant(
        "the reaper takes the living with the dead",
        sql("reap", "beat + max(lease, :lease) < :now", "beat < :now"),
        grounds.DEATHS,
        survives="it costs false deaths, and nothing else",
    ),
    Mutant(
        "a replica comes back under its old id", method(Replica, "register", register_as_before)
    ),
    Mutant(
        "a registration of unknown outcome is tried again under its id",
        method(Replica, "register", register_stubbornly),
        grounds.ZOMBIES,
    ),
)

UNKNOWN = (
    Mutant(
        "an unknown outcome is taken for done",
        method(Replica, "settle", assume_landed),
        grounds.UNKNOWNS,
    ),
    Mutant(
        "an unknown outcome is taken for not done",
        method(Replica, "settle", assume_lost),
        grounds.UNKNOWNS,
        survives="the batch number refuses what comes late; it costs a false death",
    ),
    Mutant(
        "an unknown outcome is taken for not done, and batches have no number",
        all_of(method(Replica, "settle", assume_lost), NO_BATCH_NUMBER),
    ),
    Mutant(
        "an unknown outcome is settled by reading",
        all_of(SETTLED_BY_READING, NO_GENERATION),
        grounds.UNKNOWNS,
        survives="the batch number refuses what comes late; it costs a false death",
    ),
    Mutant(
        "an unknown outcome is settled by reading, and batches have no number",
        all_of(SETTLED_BY_READING, NO_GENERATION, NO_BATCH_NUMBER),
    ),
    Mutant(
        "each settling counts the generation up by one",
        statement("settle", "UPDATE replicas SET generation = generation + 1 WHERE id = :replica"),
        grounds.UNKNOWNS,
        survives="a late one costs a false death, and nothing else",
    ),
    Mutant(
        "what a landed claim took is not looked for",
        method(Engine, "_landed", nothing),
        grounds.UNKNOWNS,
        survives="once per lease somebody looks what is owned here and not run",
    ),
    Mutant(
        "what a landed claim took is not looked for, also later",
        all_of(method(Engine, "_landed", nothing), method(Engine, "_adopt_owned", nothing)),
        grounds.UNKNOWNS,
    ),
    Mutant(
        "a landed suspension is believed",
        method(batching, "_landed", accepted_if_landed),
        grounds.UNKNOWNS,
        survives="what is owned here and not run is looked for",
    ),
    Mutant(
        "a landed send is taken for accepted",
        method(committer, "remains_after_landing", answer_sends_unasked),
        grounds.UNKNOWNS,
    ),
    Mutant(
        "a landed batch is sent again whole",
        method(committer, "remains_after_landing", ask_all_again),
        grounds.UNKNOWNS,
    ),
    Mutant(
        "a message that is sent again has another key",
        method(committer, "remains_after_landing", ask_under_another_key),
        grounds.UNKNOWNS,
    ),
    Mutant("all fail that shared a refused batch", method(Committer, "_split", fail_together)),
)

DEATH = (
    Mutant(
        "incarnations of a dead replica run on",
        method(Executor, "give_up_all", forget_to_seal),
        grounds.ZOMBIES,
        survives="each write compares owner and incarnation",
    ),
    Mutant(
        "incarnations of a dead replica run on, and effects compare no owner",
        all_of(method(Executor, "give_up_all", forget_to_seal), ANY_RECORD),
        grounds.ZOMBIES,
        is_slow=True,
    ),
    Mutant(
        "the queue is kept after the fence",
        method(Committer, "purge", nothing_now),
        grounds.ZOMBIES,
        survives="each write compares owner and incarnation",
    ),
    Mutant(
        "the queue is kept after the fence, and effects compare no owner",
        all_of(method(Committer, "purge", nothing_now), ANY_RECORD),
        grounds.ZOMBIES,
        is_slow=True,
    ),
    Mutant(
        "requests from outside go down with the replica",
        method(Committer, "_drop", staticmethod(drop_whatever)),
    ),
)

MUTANTS = (*FENCE, *UNKNOWN, *DEATH)
