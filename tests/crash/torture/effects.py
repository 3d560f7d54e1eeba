"""Performs the commands that are one effect, and those whose code a deploy changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from tests.crash.bodies import (
    INTERRUPTED,
    Refused,
    die,
    flaky,
    once,
    refuse,
    saw,
    touch,
    touch_in_thread,
    touch_once,
)
from tests.crash.ledger import key_here, key_of_body, note
from tests.crash.torture.acts import DEPLOYED, Act
from tests.crash.torture.running import FIRST_CODE, REPAIRED_CODE, RUNNING, UNFIT_CODE
from unbroken import Retry, capture, current_flow, effect, patched

__all__ = ["ATTEMPTS", "CAPTURES", "DEPLOYED", "captured", "deployed"]

RETRY = Retry(4, initial_delay=timedelta(milliseconds=5), jitter=0.5)
RETRY_AWAY = Retry(4, initial_delay=timedelta(milliseconds=5), suspend_above=timedelta(0))
RETRY_SLOWLY = Retry(4, initial_delay=timedelta(milliseconds=400), jitter=0.1)
ATTEMPTS = {"flaky": 4}
MOST_STUMBLES = 3
CAPTURES = frozenset(
    (
        *("touch", "thread", "once", "unflushed", "nested", "refuse", "flaky"),
        *("resolve", "stumble", "strict", "preset", "poison"),
    )
)


def name_of(act: Act) -> str:
    """Give the name of an act's effect."""
    return f"{act.kind} {act.text}".replace(".", " ")


@effect(flush=False)
async def unflushed(value: str) -> str:
    return await touch(value)


async def captured(act: Act) -> str:
    """Perform an act that is one effect."""
    name = name_of(act)
    match act.kind:
        case "unflushed":
            return await capture(name, unflushed, act.text)
        case "flaky":
            rule = RETRY_SLOWLY if act.milliseconds % 4 == 0 else RETRY
            rule = RETRY_AWAY if act.away else rule
            return await saw(name, effect(flaky, name=name, retry=rule)(act.text, 2))
        case "stumble":
            return await _stumble(name, act)
        case "once" | "resolve" | "strict":
            return await _at_most_once(name, act)
        case "refuse" | "preset":
            return await _preset_or_refused(name, act)
        case kind:
            return await saw(name, capture(name, BODIES[kind], act.text))


async def _preset_or_refused(name: str, act: Act) -> str:
    if act.kind == "preset" and act.milliseconds % 3 == 2:
        return await once(name, capture(name, touch_once, act.text))
    body = refuse if act.kind == "refuse" else touch
    try:
        return await saw(name, capture(name, body, act.text))
    except Refused as error:
        return f"Refused: {error}"


async def _at_most_once(name: str, act: Act) -> str:
    """Leave an unknown outcome as it is, find out what happened, or fail with it."""
    if act.kind == "strict":
        return await saw(name, capture(name, touch_once, act.text))
    result = await once(name, capture(name, touch_once, act.text))
    if result == INTERRUPTED and act.kind == "resolve":
        finding = f"find {name}"
        await saw(finding, capture(finding, touch, act.text))
    return result


async def _stumble(name: str, act: Act) -> str:
    """Fail the whole flow some times; a run that follows begins the effect again."""
    value = await capture(name, flaky, act.text, 1 + act.milliseconds % MOST_STUMBLES)
    note("saw", key_here(name), value)
    return value


async def _nested(value: str) -> str:
    key = key_of_body()
    note("begin", key)
    inner = await saw("inner", capture("inner", touch, value))
    note("end", key, f"{inner}!")
    return f"{inner}!"


BODIES: Mapping[str, Callable[[str], Any]] = {
    "touch": touch,
    "thread": touch_in_thread,
    "nested": _nested,
    "poison": die,
}


# code that changes


async def deployed(act: Act) -> str:
    """Perform an act whose code a deploy changes; what it gives stays the same."""
    code, text = RUNNING.get().code, act.text.replace(".", " ")
    match act.kind:
        case "added" | "removed":
            if (code == FIRST_CODE) == (act.kind == "removed"):
                await _touch(f"{act.kind} {text}")
        case "moved":
            names = [f"left {text}", f"right {text}"]
            for name in names if code == FIRST_CODE else reversed(names):
                await _touch(name)
        case "patched":
            await _go_one_way(text, code)
        case "renamed":
            return await _renamed(text, act.text, code)
        case _:
            return await _shipped(text, act.text, code)
    return act.kind


async def _touch(name: str) -> str:
    return await saw(name, capture(name, touch, name))


async def _go_one_way(text: str, code: int) -> None:
    """Go the new way or the old one, and fail if what was recorded belongs to the other one."""
    is_new = code != FIRST_CODE and patched(f"patch {text}")
    name, way = f"way {text}", "new" if is_new else "old"
    recorded = await saw(name, capture(name, touch, way))
    if code != FIRST_CODE and recorded != f"{way}!":
        raise AssertionError(f"{recorded} became {way}")
    if is_new:
        await _touch(f"audit {text}")


def _aliases(former: str, code: int) -> list[str] | None:
    return [former] if code == REPAIRED_CODE else None


async def _renamed(text: str, value: str, code: int) -> str:
    former, latter = f"former {text}", f"latter {text}"
    name = former if code == FIRST_CODE else latter
    tried: Any = effect(touch, name=name, aliases=_aliases(former, code))
    result: str = await saw(name, tried(value))
    note("renamed", key_here(text), code)
    return result


async def _send(value: str) -> str:
    note("begin", key_of_body(), once=True)
    note("end", key_of_body(), f"{value}!", once=True)
    return f"{value}!"


async def _shipped(text: str, value: str, code: int) -> str:
    """At most once under two names. The unfit code does not say that they are one."""
    former, latter = f"ship {text}", f"deliver {text}"
    effects = current_flow().effects
    has_former = any(effects.contains(key_here(f"{former}{mark}")) for mark in ("", ".begun"))
    first = code == FIRST_CODE or (code >= UNFIT_CODE and has_former)
    name = former if code == FIRST_CODE else latter
    sent: Any = effect(_send, name=name, at_most_once=True, aliases=_aliases(former, code))
    return await once(former if first else latter, sent(value))
