"""Code that changed while its flows stood still: effects renamed, removed, and new ways to go.

What is recorded is found by its name. A name that is missing may be new, or may be an old one
renamed: told apart by `aliases`. Without them an at-least-once effect runs, and an event asks; an
at-most-once one must not run a second time under another name, so the flow is parked until the code
says what it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from unbroken.engine.effect_spec import EffectSpec
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.journal import PRESET, RESULTS
from unbroken.engine.scope import Scope
from unbroken.model.errors import ReplayMismatch
from unbroken.model.records import Effect, Kind

MOST_LOOKED_AT = 1_000
MOST_NAMED = 10


# effects under another name


def known_as(scope: Scope, key: str, spec: EffectSpec) -> str:
    """Give the key under which the journal knows an effect: a former name, maybe.

    What something else in this incarnation has asked for already belongs to that.
    """
    incarnation = scope.incarnation
    if _is_left(incarnation, key):
        return key
    suffix = key[len(scope.prefix) + len(spec.name) :]
    for alias in spec.aliases or ():
        former = f"{scope.prefix}{alias}{suffix}"
        if _is_left(incarnation, former):
            return former
    return key


def _is_left(incarnation: Incarnation, key: str) -> bool:
    """Whether a key was recorded or begun before this incarnation, and not asked for yet."""
    if incarnation.unread is not None and key in incarnation.unread:
        return True
    effects = incarnation.effects
    preset = effects.get(key) or effects.get(f"{key}.begun")
    return preset is not None and preset.incarnation == PRESET


def check_former_names(scope: Scope, key: str, spec: EffectSpec, digest: int | None) -> None:
    """See whether an effect that is to run for the first time ran under another name before.

    Parks the flow if an at-most-once body could begin again; else an event asks. A flow that failed
    and is tried again is only asked: it may well go another way.
    """
    incarnation = scope.incarnation
    unread = incarnation.unread
    if spec.aliases is not None or unread is None or incarnation.has_beneath(key):
        return
    if not spec.at_most_once and len(unread) > MOST_LOOKED_AT:
        return
    for former, effect in _left_beside(scope, spec.name):
        name = former[len(scope.prefix) :].partition("#")[0]
        is_once = effect.kind in {Kind.ONCE, Kind.BEGUN}
        unknown = digest is None or effect.digest is None
        is_alike = unknown or digest == effect.digest
        if spec.at_most_once and is_once and is_alike and not incarnation.failures:
            raise incarnation.park(_could_be(key, spec.name, former, name))
        if not unknown and is_alike:
            text = (
                f"did {name!r} become {spec.name!r}? {former!r} is recorded and was not asked for, "
                f"{key!r} is not recorded and runs: if they are one, write "
                f"effect(aliases=[{name!r}]), else effect(aliases=[])"
            )
            about = f"{incarnation.flow.type}: {name} {spec.name}"
            incarnation.emit_once("effect.renamed", text, about, logging.WARNING)


def _left_beside(scope: Scope, name: str) -> Iterator[tuple[str, Effect]]:
    """Give what is unread in a scope under other names and may be the result of an effect."""
    incarnation = scope.incarnation
    start = len(scope.prefix)
    beside = [
        key
        for key in incarnation.unread or ()
        if key.startswith(scope.prefix)
        and "/" not in key[start:]
        and key[start:].partition("#")[0] != name
    ]
    for key in sorted(beside):
        effect = incarnation.effects.get(key) or incarnation.effects.get(f"{key}.begun")
        is_result = effect is not None and (effect.kind in RESULTS or effect.kind == Kind.BEGUN)
        if effect is not None and is_result and not incarnation.is_promised(key):
            yield key, effect


def _could_be(key: str, name: str, former: str, former_name: str) -> ReplayMismatch:
    return ReplayMismatch(
        key,
        f"an at-most-once effect {name!r} that never ran under this name",
        f"{former!r}, which is not asked for and could be the same: write "
        f"effect(aliases=[{former_name!r}]) if it is, effect(aliases=[]) if {name!r} is new",
    )


# two ways to go


def is_patched(scope: Scope, key: str) -> bool:
    """Say whether a flow takes the new way; decided once for each key, and the same ever after.

    It takes the old one if something is recorded that its code comes to only after this point.
    """
    incarnation = scope.incarnation
    if key in incarnation.effects:
        effect = incarnation.recorded(key, Kind.PATCH)
        return effect is not None and effect.body == "true"
    answer = not _has_gone_past(scope)
    if answer:
        incarnation.replaying = incarnation.repeats = False
    body = "true" if answer else "false"
    incarnation.keep(Effect(key, Kind.PATCH, body, incarnation=incarnation.number))
    return answer


def _has_gone_past(scope: Scope) -> bool:
    own = scope.prefix.split("/")[:-1]
    return any(not _is_in_a_sibling(own, key) for key in scope.incarnation.not_asked_for())


def _is_in_a_sibling(own: list[str], key: str) -> bool:
    """Whether a key belongs to another branch of one gather or race: that says nothing of order."""
    for mine, other in zip(own, key.split("/"), strict=False):
        if mine != other:
            return mine.isdigit() and other.isdigit()
    return False


# what was not asked for


def check_all_read(incarnation: Incarnation) -> ReplayMismatch | None:
    """At a flow's end: tell what was recorded and not asked for, or, in strict mode, refuse it."""
    if incarnation.unread is None or incarnation.failures:
        return None  # a flow that is tried again may well go another way
    unread = incarnation.not_asked_for()
    left = sorted(key for key in unread if not _is_beside_a_cut(incarnation, key))
    if not left:
        return None
    names = ", ".join(map(repr, left[:MOST_NAMED])) + (", …" if len(left) > MOST_NAMED else "")
    why = (
        f"{names}: recorded in an earlier incarnation and not asked for in the last one. The code "
        "changed since, takes its way by something that is not captured, or remembers what it must "
        "ask for again (functools.cache on a function that captures?)"
    )
    effects = (incarnation.effects.get(key) for key in left)
    own_runs = incarnation.services.own_runs
    if any(effect and own_runs.recorded(incarnation, effect) for effect in effects):
        return ReplayMismatch(left[0], "nothing of that name", why)
    incarnation.emit("flow.unread_effects", why, logging.WARNING)
    return None


def _is_beside_a_cut(incarnation: Incarnation, key: str) -> bool:
    """Whether the user's own cancel ended the code around a key: how far it came is chance."""
    scope = key.rpartition("/")[0]
    return any(
        effect.kind == Kind.CUT and one.rpartition("/")[0] == scope
        for one, effect in incarnation.effects.items()
    )
