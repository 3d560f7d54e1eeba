"""Writes random programs: the same for the same seed, number and language."""

from __future__ import annotations

import random

import msgspec

from tests.crash.torture.acts import (
    DEEPEST,
    DEPLOYED,
    LONGEST_PROGRAM,
    TORTURE,
    Act,
    Language,
    Program,
    has_any,
)

POLICIES = ("cancel", "cancel", "leave", "wait")
# What the rules of the torture look for at the end, although a new run forgets it.
LOOKED_FOR = frozenset({"once", "resolve", "ping", "maybe", "stream", "question", "child"})
WAITS = frozenset({"sleep", "until", "maybe", "tidy", "swallow"})
FEW = 4


def program_of(seed: int, number: int, language: Language = TORTURE) -> Program:
    """Give the program of a flow. A third of them know few words, so that these meet often."""
    chance = random.Random(f"{seed} {number}")
    words = _few_of(chance, language) if chance.random() < 0.35 else language
    writer = _Writer(chance, words)
    acts = writer.acts("", 0)
    if words.tops and chance.random() < 0.4:
        top = Act(chance.choice(words.tops), "top", chance.randint(0, 30), chance.random() < 0.5)
        place = chance.randint(0, len(acts))
        acts = (*acts[:place], top, *acts[place:])
    return writer.with_ending(acts, language.endings, number)


def _few_of(chance: random.Random, language: Language) -> Language:
    simple = tuple(chance.choice(language.simple) for _ in range(FEW))
    blocks = (chance.choice(language.blocks),)
    return msgspec.structs.replace(language, simple=simple, blocks=blocks)


class _Writer:
    """Writes one flow with all its children."""

    def __init__(self, chance: random.Random, language: Language) -> None:
        self._chance = chance
        self._language = language

    def acts(self, prefix: str, depth: int) -> Program:
        count = self._chance.randint(1, LONGEST_PROGRAM - 2 * depth)
        written: list[Act] = []
        for number in range(count):
            written.append(self._act(f"{prefix}{number}", depth))
            if written[-1].kind in DEPLOYED and self._chance.random() < 0.4:
                # Behind it the flow waits, for a deploy maybe.
                pause = self._chance.randint(5, 30) * 100
                written.append(Act("sleep", f"{prefix}{number}w", pause, away=True))
        return tuple(written)

    def with_ending(self, acts: Program, endings: tuple[str, ...], number: int = 0) -> Program:
        """Let one in seven programs end in another way; one that begins anew has a second run."""
        chance = self._chance
        if chance.random() >= 0.15:
            return acts
        ending = chance.choice(endings)
        if ending == "never" and has_any(acts, frozenset({"swallow"})):
            ending = "fail"  # a cancel comes once
        if ending != "anew":
            return (*acts, Act(ending, f"{ending} {number}", chance.randint(0, 30)))
        second, third = (self.acts(f"anew{run}.", DEEPEST) for run in (2, 3))
        if chance.random() < 0.3:
            second = self._followed(second, Act("anew", "anew3", parts=(third,)))
        return self._followed(acts, Act("anew", "anew2", parts=(second,)))

    def _followed(self, acts: Program, by: Act) -> Program:
        if self._language.forgets:
            return (*acts, by)
        return (*(act for act in acts if not has_any((act,), LOOKED_FOR)), by)

    def _act(self, text: str, depth: int) -> Act:
        chance = self._chance
        away = chance.random() < 0.5
        if depth < DEEPEST and chance.random() < 0.2:
            if chance.random() < 0.5:
                part = self.with_ending(
                    self.acts(f"{text}.", depth + 1), self._language.child_endings
                )
                return Act("child", text, away=away, parts=(part,), option=chance.choice(POLICIES))
            names = "abc"[: chance.randint(2, 3)]
            parts = tuple(self.acts(f"{text}.{one}.", depth + 1) for one in names)
            return Act("branches", text, parts=parts)
        if chance.random() < 0.2:
            part = tuple(
                Act(chance.choice(self._language.alone), f"{text}.{one}", chance.randint(0, 30))
                for one in range(chance.randint(1, 3))
            )
            return Act(chance.choice(self._language.blocks), text, away=away, parts=(part,))
        kind = chance.choice(self._language.simple)
        if kind == "sown":
            sown = self.acts(f"{text}.", DEEPEST)
            return Act(kind, text, away=away, parts=(sown,), option="leave")
        return Act(kind, text, self._duration(kind), away)

    def _duration(self, kind: str) -> int:
        """One wait in four lasts for seconds."""
        chance = self._chance
        is_long = self._language.is_slow and kind in WAITS and chance.random() < 0.25
        return chance.randint(5, 30) * (100 if is_long else 1)
