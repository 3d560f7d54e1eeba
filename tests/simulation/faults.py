"""What may go wrong in a simulated world, and which of it a run knows."""

from __future__ import annotations

from enum import Enum
from itertools import accumulate

from tests.simulation.tape import Tape


class Fault(Enum):
    """What becomes of one operation."""

    NONE = "none"
    REFUSED = "refused"
    """Not applied, and the replica is told so."""
    UNKNOWN = "unknown"
    """Applied, and the answer is lost."""
    LATE = "late"
    """The answer is lost, and the bytes arrive later, or never."""
    SLOW = "slow"
    """Applied and answered, after a long time."""
    STALLED = "stalled"
    """Applied and answered, after longer than a lease, on the way there or back."""
    ABORTED = "aborted"
    """Begun, and rolled back by the database: at some statement, or at its COMMIT."""
    DOUBLED = "doubled"
    """The bytes arrive twice."""
    REJECTED = "rejected"
    """The database takes offence at a batch of several flows, and at none of its parts alone."""


class Spell(Enum):
    """What a store or a replica's way to it is like for a while."""

    READ_ONLY = "read-only"
    """Every write is refused."""
    FULL = "full"
    """Every write fails, some of them at their COMMIT; nothing is applied."""
    STANDING = "standing still"
    """Nothing is applied before it is over."""
    CUT_OFF = "cut off"
    """Nothing arrives, and nobody is told before he gives up."""
    FAILED_OVER = "failed over"
    """What was under way is cut, applied or not; for a moment nobody answers."""


class Jolt(Enum):
    """What happens to a replica, or to a clock, now and then."""

    CRASH = "crash"
    FREEZE = "freeze"
    STOP = "stop"
    STORE_CLOCK = "store clock"
    REPLICA_CLOCK = "replica clock"
    DEPLOY = "deploy"
    BLACKOUT = "blackout"


WAKES = "wakes"
Kind = Fault | Spell | Jolt | str
KINDS: tuple[Kind, ...] = (*list(Fault)[1:], *Spell, *Jolt, WAKES)
NEVER = 0.0

ODDS = (200, 60, 20, 8)
EVERY: dict[Jolt | Spell, tuple[float, ...]] = {
    Jolt.CRASH: (15.0, 4.0, 1.0),
    Jolt.FREEZE: (20.0, 5.0),
    Jolt.STOP: (20.0, 8.0),
    Jolt.STORE_CLOCK: (20.0, 8.0),
    Jolt.REPLICA_CLOCK: (20.0, 5.0),
    Jolt.DEPLOY: (20.0,),
    Jolt.BLACKOUT: (20.0, 7.0),
    Spell.READ_ONLY: (20.0, 8.0),
    Spell.FULL: (20.0, 8.0),
    Spell.STANDING: (20.0, 8.0),
    Spell.CUT_OFF: (20.0, 8.0),
    Spell.FAILED_OVER: (20.0, 6.0),
}
# One draw decides about an operation; zero is the dullest.
SCALE = 1 << 16

# What no store can keep whose clock jumps: before a replica has heard of it, it reckons with the
# former time.
CLOCK_RULES = frozenset({"sleep_is_never_early", "retry_is_never_early"})


class Weather:
    """Which faults a run knows, and how often each one comes; drawn once from the tape."""

    def __init__(self, tape: Tape) -> None:
        known = self._draw_kinds(tape)
        self.odds: dict[Fault, int] = {}
        self.every: dict[Jolt | Spell, float] = {}
        for kind in known:
            if isinstance(kind, Fault) and kind is not Fault.REJECTED:
                self.odds[kind] = tape.pick(ODDS)
            elif isinstance(kind, (Jolt, Spell)):
                self.every[kind] = tape.pick(EVERY[kind])
        self.rejects = Fault.REJECTED in known
        bus = WAKES in known
        self.drops_wakes = tape.pick((2, 5, 1)) if bus else 0
        self.doubles_wakes = 3 if bus else 0
        self.delays_wakes = 4 if bus else 0
        self._limits = self._reckon()
        self.unjudged = CLOCK_RULES if Jolt.STORE_CLOCK in self.every else frozenset[str]()
        """The rules that cannot hold under this weather."""

    @staticmethod
    def _draw_kinds(tape: Tape) -> list[Kind]:
        """A third of the runs knows one kind alone; the first tape of all knows none."""
        only = tape.draw(3 * (len(KINDS) + 1))
        if only <= len(KINDS):
            return [KINDS[only - 1]] if only else []
        return [kind for kind in KINDS if tape.is_one_in(2)]

    def _reckon(self) -> list[tuple[int, Fault]]:
        shares = accumulate(SCALE // odds for odds in self.odds.values())
        return [(SCALE - share, kind) for share, kind in zip(shares, self.odds, strict=True)]

    @property
    def crash_every(self) -> float:
        return self.every.get(Jolt.CRASH, NEVER)

    @property
    def freeze_every(self) -> float:
        return self.every.get(Jolt.FREEZE, NEVER)

    @property
    def stops_every(self) -> float:
        return self.every.get(Jolt.STOP, NEVER)

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self.odds = {}
        self._limits = []
        self.every = {}
        self.rejects = False
        self.drops_wakes = self.doubles_wakes = self.delays_wakes = 0

    def fault(self, tape: Tape) -> Fault:
        """Choose what becomes of the next operation."""
        if not self._limits:
            return Fault.NONE
        number = tape.draw(SCALE)
        for limit, kind in self._limits:
            if number >= limit:
                return kind
        return Fault.NONE

    def __repr__(self) -> str:
        odds = [f"{kind.value} 1/{odds}" for kind, odds in self.odds.items()]
        every = [f"{kind.value} every {seconds:.0f} s" for kind, seconds in self.every.items()]
        wakes = [f"wakes dropped 1/{self.drops_wakes}"] if self.drops_wakes else []
        rejects = ["batches rejected"] if self.rejects else []
        return ", ".join([*odds, *every, *wakes, *rejects]) or "calm"
