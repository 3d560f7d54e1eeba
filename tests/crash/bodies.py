"""Bodies of effects that tell the ledger when they begin and end; what a flow says of itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from tests.crash import ledger
from tests.crash.ledger import key_here, key_of_body, note
from unbroken import EffectInterrupted, current_flow, effect, sleep

T = TypeVar("T")

INTERRUPTED = "interrupted"
MICROSECOND = timedelta(microseconds=1)


class Refused(Exception):
    """What the outside world answers when it says no."""


# bodies


async def touch(value: str) -> str:
    """Do something outside; at least once."""
    note("begin", key_of_body())
    await asyncio.sleep(0)
    note("end", key_of_body(), f"{value}!")
    return f"{value}!"


def touch_in_thread(value: str) -> str:
    """Do something outside, in a plain function."""
    note("begin", key_of_body())
    note("end", key_of_body(), f"{value}!")
    return f"{value}!"


async def refuse(value: str) -> str:
    """Do something outside that fails for good."""
    note("begin", key_of_body())
    note("raise", key_of_body(), value)
    raise Refused(value)


async def flaky(value: str, failures: int) -> str:
    """Fail so many times, over all processes, and then succeed."""
    key = key_of_body()
    note("begin", key)
    if times("raise", key) < failures:
        note("raise", key, value)
        raise Refused(value)
    note("end", key, f"{value}!")
    return f"{value}!"


@effect(at_most_once=True)
async def touch_once(value: str) -> str:
    """Do something outside; at most once."""
    note("begin", key_of_body(), once=True)
    await asyncio.sleep(0)
    note("end", key_of_body(), f"{value}!", once=True)
    return f"{value}!"


@effect(at_most_once=True)
async def refuse_once(value: str) -> str:
    """Fail outside; at most once."""
    note("begin", key_of_body(), once=True)
    note("raise", key_of_body(), value, once=True)
    raise Refused(value)


def times(kind: str, key: str) -> int:
    """Count the flow's lines of a kind about an effect, over all processes."""
    flow = current_flow()
    me = f"{flow.type} {flow.id}"
    lines = ledger.read(Path(os.environ[ledger.PATH]))
    return sum(1 for line in lines if (line.kind, line.flow, line.effect) == (kind, me, key))


# what a flow says of itself


def begun() -> None:
    """The flow's first line runs."""
    note("started")


async def saw(name: str, result: Awaitable[T]) -> T:
    """Await an effect and say what the flow saw, which is durable by then."""
    key = key_here(name)
    try:
        value = await result
    except EffectInterrupted:
        note("interrupted", key)
        raise
    except Refused as error:
        note("saw", key, f"Refused: {error}")
        raise
    note("saw", key, value if isinstance(value, str) else repr(value))
    return value


async def once(name: str, result: Awaitable[str]) -> str:
    """Await an at-most-once effect; an unknown outcome is an outcome."""
    try:
        return await saw(name, result)
    except EffectInterrupted:
        return INTERRUPTED


async def received(name: str, result: Awaitable[object]) -> str:
    """Await a message and say which one the flow got."""
    key = key_here(name)
    message = await result
    text = "nothing" if message is None else str(getattr(message, "text", message))
    note("received", key, text)
    return text


async def slept(name: str, duration: timedelta, suspend_after: timedelta | None = None) -> None:
    """Sleep and say how long it had to be at least."""
    key = key_here(name)
    note("sleeping", key, duration // MICROSECOND)
    await sleep(duration, suspend_after=suspend_after)
    note("slept", key)
