"""Where mutants are looked for: weather and words that let what they lack matter often."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import patch

import msgspec

from tests.crash.torture.acts import DEPLOYED, WHOLE
from tests.simulation.faults import EVERY, WAKES, Fault, Jolt, Kind, Weather
from tests.simulation.mutants.mutant import Patch, all_of
from tests.simulation.tape import Tape

IS_ONE_IN = Tape.is_one_in
SHARE_OF_CANCELS = 8


def weather(*kinds: Kind) -> Patch:
    """Let just these faults come, and often."""

    def draw(tape: Tape) -> list[Kind]:
        return list(kinds)

    @contextmanager
    def apply() -> Iterator[None]:
        frequent = {kind: moments[-1:] for kind, moments in EVERY.items()}
        with (
            patch.object(Weather, "_draw_kinds", staticmethod(draw)),
            patch("tests.simulation.faults.ODDS", (20, 8)),
            patch("tests.simulation.faults.EVERY", frequent),
        ):
            yield

    return apply


def words(*simple: str, **more: tuple[str, ...]) -> Patch:
    """Let programs be made of these words, of those of WHOLE where nothing else is said."""
    language = msgspec.structs.replace(WHOLE, **({"simple": simple} if simple else {}), **more)
    return lambda: patch("tests.simulation.using.WHOLE", language)


def every_flow_is_cancelled() -> AbstractContextManager[object]:
    """Let who uses the flows cancel each of them."""

    def is_one_in(self: Tape, many: int) -> bool:
        return IS_ONE_IN(self, 1 if many == SHARE_OF_CANCELS else many)

    return patch.object(Tape, "is_one_in", is_one_in)


ZOMBIES = weather(Fault.LATE, Fault.STALLED, Fault.UNKNOWN, Jolt.FREEZE, Jolt.CRASH)
UNKNOWNS = weather(Fault.LATE, Fault.UNKNOWN, Fault.DOUBLED)
DEATHS = weather(Fault.REFUSED, Jolt.CRASH, Jolt.STOP)
STOPS = weather(Fault.SLOW, Jolt.STOP)
CRASHES = weather(Jolt.CRASH)
SLOW_CRASHES = weather(Fault.SLOW, Jolt.CRASH)
STALLS = weather(Fault.STALLED)
DEAFNESS = weather(Fault.SLOW, Fault.STALLED, WAKES)

TALK = words("ping", "ping", "question", "stream", "maybe", "common", "sleep")
TALK_OF_THE_DEAF = all_of(TALK, DEAFNESS)
TALK_OF_THE_DYING = all_of(TALK, DEATHS)
RACES = all_of(words("ping", "ping", "stream", "question", blocks=("race",)), CRASHES)
LOCKS = all_of(words("touch", "sleep", "flaky", blocks=("lock", "room")), weather(Fault.SLOW))
TORN_LOCKS = all_of(every_flow_is_cancelled, LOCKS, SLOW_CRASHES)
ONCE = all_of(words("once", "resolve", "touch"), SLOW_CRASHES)
TRIES = all_of(words("flaky", "ping", tops=("stumble",)), SLOW_CRASHES)
CHILDREN = all_of(words("common", "common", "sown", "sleep", "ping"), SLOW_CRASHES)
ANEW = all_of(words("ping", "question", "common", "sown", "touch", endings=("anew",)), CRASHES)
CANCELS = all_of(
    every_flow_is_cancelled,
    words("sleep", "until", "swallow", "tidy", "sown", "once", "letter", blocks=("saga", "race")),
    weather(Fault.SLOW, Jolt.CRASH),
)
DEPLOYS = all_of(words(*DEPLOYED, "sleep", "ping"), weather(Fault.SLOW, Jolt.CRASH, Jolt.DEPLOY))
SLEEPS = all_of(
    words("sleep", "until", "maybe", "swallow", "tidy"),
    weather(Fault.SLOW, Jolt.CRASH, Jolt.REPLICA_CLOCK),
)
CANCELLED_SLEEPS = all_of(every_flow_is_cancelled, words("sleep", "until", blocks=("race",)))
CANCELLED_TRIES = all_of(every_flow_is_cancelled, TRIES)
CANCELLED_ANEW = all_of(every_flow_is_cancelled, ANEW)
LETTERS = words("letter", "letter", "sleep", "touch")
POISON = all_of(words(tops=("poison",)), CRASHES)
