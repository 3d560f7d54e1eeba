"""Bodies of effects that tell the ledger when they begin and end; what a flow says of itself."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, TypeVar

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
    if tally(key) <= failures:
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


def tally(name: str) -> int:
    """Count one more for the flow, outside; give how many there are over all processes."""
    flow = current_flow()
    world = ledger.WORLD.get()
    if world is not None:
        return world.count(f"{flow.type} {flow.id} {name}")
    place = hashlib.sha256(f"{flow.type} {flow.id} {name}".encode()).hexdigest()[:24]
    file = os.open(f"{os.environ[ledger.PATH]}-{place}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(file, b".")
        return os.fstat(file).st_size
    finally:
        os.close(file)


async def die(value: str) -> str:
    """Take the simulated process down, each time."""
    note("begin", key_of_body())
    world: Any = ledger.WORLD.get()
    await world.die()
    return value


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


async def received(name: str, result: Awaitable[object], timeout: timedelta | None = None) -> str:
    """Await a message and say which one the flow got, or that the time was over."""
    key = key_here(name)
    if timeout is not None:
        note("sleeping", key, timeout // MICROSECOND)
    message = await result
    if message is None:
        note("slept", key)
    text = "nothing" if message is None else str(getattr(message, "text", message))
    note("received", key, text)
    return text


async def slept(name: str, duration: timedelta, suspend_after: timedelta | None = None) -> None:
    """Sleep and say how long it had to be at least."""
    key = key_here(name)
    note("sleeping", key, duration // MICROSECOND)
    await sleep(duration, suspend_after=suspend_after)
    note("slept", key)


def passed(text: str) -> None:
    """A point of the flow was reached."""
    note("passed", text)
