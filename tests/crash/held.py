"""Flows that stand still until a file appears, so that a test can do something to their process."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import msgspec

from tests.crash.bodies import begun, once, received, saw, slept, touch, touch_once
from tests.crash.ledger import key_of_body, note
from unbroken import capture, current_flow, effect, flow, lock, message, question

GRACE = timedelta(seconds=15)
SHORT = timedelta(milliseconds=20)
GO = "go"


class Paid(msgspec.Struct, frozen=True):
    text: str


async def until_told(folder: str) -> None:
    """Wait for the file, in plain code that no engine knows of."""
    while not Path(folder, GO).exists():  # noqa: ASYNC110 - a file is what two processes share
        await asyncio.sleep(0.005)


@flow
async def helping(order: str) -> str:
    begun()
    return await saw("a", capture("a", touch, order))


@flow
async def held(folder: str, then: str) -> str:
    """Record something, stand still, then do one thing that must be written."""
    begun()
    first = await saw("a", capture("a", touch, then))
    await until_told(folder)
    match then:
        case "effect":
            await saw("b", capture("b", touch, first))
        case "once":
            await once("touch_once", touch_once(first))
        case "suspend":
            await slept("sleep", SHORT, suspend_after=timedelta(0))
        case "child":
            await saw("helping", helping.run(f"{current_flow().id}/1", first))
        case "message":
            await received("message:Paid", message(Paid))
        case _:
            pass
    return first


@flow
async def answering(folder: str) -> str:
    """Take a question, stand still, then answer it and say who did."""
    begun()
    asked = await question(Paid)
    note("received", "question:Paid", asked.value.text)
    value = await saw("a", capture("a", touch, asked.value.text))
    await until_told(folder)
    await asked.answer(f"{value} by {current_flow().incarnation}")
    return value


@flow
async def held_in_a_body(folder: str) -> str:
    """Stand still inside of an effect, and in one that may begin once."""
    begun()
    first = await saw("body", capture("body", hold, folder))
    return await once("hold_once", hold_once(f"{folder}/then")) + first


async def hold(folder: str) -> str:
    note("begin", key_of_body())
    await until_told(folder)
    note("end", key_of_body(), "held")
    return "held"


@effect(at_most_once=True)
async def hold_once(folder: str) -> str:
    note("begin", key_of_body(), once=True)
    await until_told(folder)
    note("end", key_of_body(), "held", once=True)
    return "held"


@flow
async def held_in_a_thread(folder: str) -> str:
    """Stand still inside of a plain function, which nothing can cut."""
    begun()
    return await saw("thread", capture("thread", hold_in_thread, folder))


def hold_in_thread(folder: str) -> str:
    note("begin", key_of_body())
    while not Path(folder, GO).exists():
        time.sleep(0.005)
    note("end", key_of_body(), "held")
    return "held"


@flow
async def waiting(order: str) -> str:
    """Wait in memory for a message."""
    begun()
    text = await received("message:Paid", message(Paid))
    return await saw("a", capture("a", touch, f"{order} {text}"))


@flow
async def blocking(seconds: float) -> str:
    """Block the event loop of its whole process."""
    begun()
    first = await saw("a", capture("a", touch, "x"))
    time.sleep(seconds)
    await saw("b", capture("b", touch, first))
    return first


@flow
async def locked(folder: str, then: str) -> str:
    """Stand still while it holds a lock that others want."""
    begun()
    async with lock("x"):
        first = await saw("guarded 1", capture("guarded 1", touch, then))
        await until_told(folder)
        return await saw("guarded 2", capture("guarded 2", touch, first))


@flow
async def working(order: str, count: int) -> str:
    """Do one thing after the other, away from memory in between, until the count is reached."""
    begun()
    text = order
    for number in range(1, count + 1):
        text = await saw(f"step {number}", capture(f"step {number}", touch, order))
        rest = "sleep" if number == 1 else f"sleep#{number}"
        await slept(rest, SHORT, suspend_after=timedelta(seconds=number % 2))
    return await once("touch_once", touch_once(text))


FLOWS = (
    held,
    answering,
    held_in_a_body,
    held_in_a_thread,
    helping,
    waiting,
    blocking,
    locked,
    working,
)
