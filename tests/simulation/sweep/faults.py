"""What may become of one operation between a process and the store, and where it makes sense."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

READS = frozenset(
    (
        *("poll", "owned", "load", "read_inbox", "find", "view", "read_effects", "read_state"),
        *("read_reply", "correlated", "places", "list_flows"),
    )
)


class Fault(Enum):
    """What becomes of an operation."""

    REFUSED = "refused"
    """Not applied, and the process is told so."""
    UNKNOWN = "unknown"
    """Applied, and the answer is lost."""
    LOST = "lost"
    """Not applied, and the process cannot know."""
    LATE = "late"
    """The process gives up; the operation arrives a moment later."""
    VERY_LATE = "very late"
    """The process gives up; the operation arrives when its lease is long over."""
    SLOW = "slow"
    """Applied and answered, within the lease."""
    STALLED = "stalled"
    """It arrives after the lease; the process waits for it."""
    STALLED_BACK = "stalled back"
    """Applied at once; the answer comes after the lease."""
    DOUBLED = "doubled"
    """It arrives twice."""
    UNTOLD = "untold"
    """Applied and answered, and the bus tells nobody of it."""
    CRASH_BEFORE = "crash before"
    """The process is killed before the operation is on its way."""
    CRASH_AFTER = "crash after"
    """The process is killed when the operation was applied."""
    FREEZE_BEFORE = "freeze before"
    """The process stands still past its lease, and then sends it."""
    FREEZE_AFTER = "freeze after"
    """Applied; the process stands still past its lease before it sees the answer."""
    READ_ONLY = "read-only"
    """Writes are refused, reads are answered: no space, or a standby."""


class Spell(Enum):
    """How far a fault reaches."""

    ONCE = "once"
    PROCESS = "process"
    """Every operation of the same process, until the weather heals."""
    ALL = "all"
    """Every operation of all processes, until the weather heals."""


ON_WRITES = tuple(fault for fault in Fault if fault is not Fault.READ_ONLY)
# A read has no effect: what matters is that it fails, and how old its answer is.
ON_READS = (
    *(Fault.REFUSED, Fault.SLOW, Fault.STALLED_BACK, Fault.CRASH_BEFORE, Fault.FREEZE_AFTER),
)
LASTING = (
    *(Fault.REFUSED, Fault.READ_ONLY, Fault.UNKNOWN, Fault.LOST, Fault.LATE, Fault.VERY_LATE),
    *(Fault.STALLED, Fault.STALLED_BACK, Fault.UNTOLD, Fault.CRASH_BEFORE, Fault.CRASH_AFTER),
)
# One process is cut off from the store and others are not. Whoever stands still does nothing that
# could be frozen again: that makes sense of all of them only.
LASTING_OF_ONE = (
    *(Fault.REFUSED, Fault.LATE, Fault.VERY_LATE, Fault.STALLED, Fault.STALLED_BACK),
    Fault.CRASH_BEFORE,
)
LASTING_OF_ALL = (*LASTING, Fault.FREEZE_BEFORE)

# Mild ones, which add nothing to another fault.
ALONE_ONLY = frozenset({Fault.SLOW, Fault.DOUBLED, Fault.UNTOLD})

# What a fault becomes at a read.
AT_A_READ = {
    Fault.UNKNOWN: Fault.REFUSED,
    Fault.LOST: Fault.REFUSED,
    Fault.LATE: Fault.REFUSED,
    Fault.VERY_LATE: Fault.REFUSED,
    Fault.READ_ONLY: None,
    Fault.DOUBLED: None,
    Fault.UNTOLD: None,
}


class Blow(NamedTuple):
    """A fault at the operation of a number, counted over all processes from one."""

    number: int
    fault: Fault
    spell: Spell = Spell.ONCE

    def __str__(self) -> str:
        return f"{self.number}:{self.fault.value}:{self.spell.value}"

    @classmethod
    def parse(cls, text: str) -> Blow:
        """Read what `str` gives."""
        number, fault, spell = text.split(":")
        return cls(int(number), Fault(fault), Spell(spell))


def is_read(what: str) -> bool:
    """Whether an operation changes nothing."""
    return what.partition(" ")[0] in READS
