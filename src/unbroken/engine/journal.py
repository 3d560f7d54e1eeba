"""What a flow has recorded so far, as one incarnation holds it: plain memory, no writing.

Keys divide at `.` and `/`: what lies beneath a key begins with it and one of these. While a flow is
replayed, what it has not asked for again is *unread*: at its end, or when something new is asked
for, that tells of code that changed. The keys in `unread` are those that the code asks for; one
that only began (`key.begun`, `key.1`, `key.due`, …) counts too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from unbroken.model.records import Effect, Kind

DEADLINE = ".deadline"
BEGUN_ONCE = frozenset((Kind.BEGUN, Kind.ONCE))
RESULTS = frozenset((Kind.CAPTURE, Kind.ONCE))
# Messages for these belong to one key: no other wait could want them.
TO_NOBODY_ELSE = frozenset((Kind.CHILD, Kind.LOCK))
PRESET = 0
DIVIDES = re.compile(r"[./]")


class Journal:
    """The effects of one flow by their keys, and which keys were promised, cut and read.

    `replaying` until something is asked for that is not recorded; `repeats` while what the code
    says was said before, as far as one can tell.

    `held`, if it is a list, takes what competing branches took, by the prefix of the running
    branch's scope.
    """

    __slots__ = (
        "_cuts",
        "_followed",
        "_marked",
        "_promised",
        "_races",
        "cancelled_at",
        "effects",
        "held",
        "looked_at",
        "repeats",
        "replaying",
        "unread",
    )

    def __init__(self, effects: Iterable[Effect]) -> None:
        self.effects: dict[str, Effect] = {}
        self.cancelled_at: str | None = None
        self.held: list[tuple[str, int | str]] | None = None
        self.looked_at: set[str] | None = None
        self._races = 0
        self._followed: dict[str, dict[str, None]] | None = None
        self._marked: set[str] | None = None
        self._promised: dict[str, None] | None = None
        self._cuts = False
        for effect in effects:
            self.remember(effect)
            self._cuts = self._cuts or effect.kind == Kind.CUT
        self.replaying = any(effect.incarnation > PRESET for effect in self.effects.values())
        self.repeats = self.replaying
        self.unread: set[str] | None = self._asked_for() or None

    def find_cancel(self) -> Effect | None:
        """Learn where the flow's cancel was raised; give its mark if it was heard nowhere yet."""
        unheard: Effect | None = None
        for effect in self.effects.values():
            if effect.kind == Kind.CANCEL:
                key = effect.key.removesuffix(".cancel")
                if f"{key}.cut" in self.effects:
                    unheard = effect
                else:
                    self.cancelled_at = key
        return unheard if self.cancelled_at is None else None

    def _asked_for(self) -> set[str]:
        """Give the keys that a replay of the same code asks for.

        What lies beneath an effect that has its result is not asked for any more; what was preset
        by the caller, and the answers of `patched`, need not be.
        """
        found: set[str] = set()
        for key, effect in self.effects.items():
            if effect.kind == Kind.PATCH or effect.incarnation == PRESET:
                continue
            asked = asked_for(key)
            if asked and not self._is_answered_above(asked):
                found.add(asked)
        return found

    def _is_answered_above(self, key: str) -> bool:
        end = key.find("/")
        while end >= 0:
            above = self.effects.get(key[:end])
            if above is not None and above.kind in RESULTS:
                return True
            end = key.find("/", end + 1)
        return False

    # what is recorded

    def remember(self, effect: Effect) -> None:
        """Hold an effect, and remember beneath which keys it lies."""
        key = effect.key
        self.effects[key] = effect
        above: list[str] = []
        if "." in key or "/" in key:
            above = _above(key)
            self._marked = self._marked or set()
            self._marked.update(above)
        if self._followed is not None:
            for one in (*above, key):
                if one in self._followed:
                    self._followed[one][key] = None

    def has_beneath(self, key: str) -> bool:
        """Whether anything is recorded beneath a key."""
        return self._marked is not None and key in self._marked

    def has_begun(self, key: str) -> bool:
        """Whether something is recorded under a key or beneath it."""
        return key in self.effects or self.has_beneath(key)

    def begins_once(self, key: str) -> bool:
        """Whether running a key again would begin again what may begin only once."""
        beneath = (f"{key}.", f"{key}/")
        return any(
            one == f"{key}.begun" or (effect.kind in BEGUN_ONCE and one.startswith(beneath))
            for one, effect in self.effects.items()
        )

    def look_up(self, key: str) -> Effect | None:
        """Give what is recorded under a key; it counts as read."""
        effect = self.effects.get(key)
        if self.unread is not None and self.read(key) and effect is not None:
            # If the last that is known is a sleep, what follows it is new.
            self.repeats = self.repeats and effect.kind != Kind.DEADLINE
        # What began and may not begin again is an interruption, the same as in the former run.
        if effect is None and self.replaying and f"{key}.begun" not in self.effects:
            self.replaying = self.repeats = False
        return effect

    def read(self, key: str) -> bool:
        """The flow's code asked for a key; say whether nothing is left that it did not ask for."""
        if self.unread is not None:
            self.unread.discard(key if "." not in key else asked_for(key))
            if not self.unread:
                self.unread = None
        return self.unread is None

    # what is dropped again

    def follow(self, key: str) -> dict[str, None]:
        """Collect the keys of what is recorded under a key and beneath it, from now on too."""
        followed: dict[str, None] = {}
        if key in self.effects or self.has_beneath(key):
            beneath = (f"{key}.", f"{key}/")
            followed.update((one, None) for one in self.effects if one.startswith(beneath))
            if key in self.effects:
                followed[key] = None
        self._followed = self._followed or {}
        self._followed[key] = followed
        return followed

    def unfollow(self, key: str) -> None:
        """Collect no more."""
        if self._followed is not None:
            self._followed.pop(key, None)
            self._followed = self._followed or None

    def drop(self, key: str) -> dict[str, Effect]:
        """Let what is followed under a key and beneath it go, as the store does; give it by key."""
        dropped: dict[str, Effect] = {}
        followed = self._followed or {}
        marked = self._marked or set()
        for one in list(followed.get(key, ())):
            for above in (*_above(one), one):
                if above in followed:
                    followed[above].pop(one, None)
                if len(above) >= len(key):
                    marked.discard(above)
            if self.unread is not None:
                self.read(one)
            effect = self.effects.pop(one, None)
            if effect is not None:
                dropped[one] = effect
        return dropped

    # what competes

    def begin_race(self) -> None:
        """From now on, until as many have ended, what branches take is held."""
        self._races += 1
        if self.held is None:
            self.held = []

    def end_race(self) -> None:
        """One race is over."""
        self._races -= 1
        if not self._races:
            self.held = None

    def look_at(self, key: str) -> Effect | None:
        """Give what is recorded under a key to code that only looks: it may still be asked for."""
        self.looked_at = self.looked_at or set()
        self.looked_at.add(key)
        return self.effects.get(key)

    def not_asked_for(self) -> set[str]:
        """Give the keys that the code neither asked for nor looked at so far."""
        unread = self.unread or set()
        return unread - self.looked_at if self.looked_at else unread

    def hold(self, prefix: str, thing: int | str) -> None:
        """While branches compete: one took a message (its position), or used up a key."""
        if self.held is not None:
            self.held.append((prefix, thing))

    def release_held(self, prefixes: tuple[str, ...]) -> None:
        """Hold no more what was taken beneath these prefixes."""
        if self.held:
            self.held[:] = [one for one in self.held if not one[0].startswith(prefixes)]

    # what was promised

    def promise(self, key: str) -> None:
        """Somebody took a key and is to await what it stands for."""
        self._promised = self._promised or {}
        self._promised[key] = None

    def is_awaited(self, key: str) -> None:
        """What a key stands for is being awaited."""
        promised = self._promised
        if promised is not None and key in promised:
            del promised[key]
            if not promised:
                self._promised = None  # an emptied dict keeps its size

    def is_promised(self, key: str) -> bool:
        """Whether a key was taken and what it stands for is not awaited yet."""
        return self._promised is not None and key in self._promised

    def forgotten(self) -> list[str]:
        """Give the keys that were taken and never awaited."""
        return [key for key in self._promised or () if not self.was_cut(key)]

    # what was cut

    def was_cut(self, key: str) -> bool:
        """Whether the user's own cancel cut this effect or wait."""
        if not self._cuts or f"{key}.cut" not in self.effects:
            return False
        self.read(key)
        return True

    def note_cut(self) -> None:
        """From now on something is cut."""
        self._cuts = True


def _above(key: str) -> list[str]:
    """Give the keys beneath which a key lies."""
    return [key[: mark.start()] for mark in DIVIDES.finditer(key)]


def asked_for(key: str) -> str:
    """Give the key that the flow's code asks for: a sub-key of the engine's without its ending.

    Empty for what belongs to the flow as a whole.
    """
    head, slash, name = key.rpartition("/")
    return f"{head}{slash}{name.partition('.')[0]}"
