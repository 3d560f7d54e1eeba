"""Random programs as flows, and a pure model of how each one ends."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec

from tests.crash.bodies import (
    Refused,
    begun,
    flaky,
    once,
    received,
    refuse,
    saw,
    slept,
    touch,
    touch_in_thread,
    touch_once,
)
from tests.crash.ledger import key_here, key_of_body, note, short
from unbroken import FlowFailed, Retry, capture, current_flow, effect, flow, gather, message, now

AT_ONCE = timedelta(0)
RETRY = Retry(4, initial_delay=timedelta(milliseconds=5), jitter=0.5)
RETRY_AWAY = Retry(4, initial_delay=timedelta(milliseconds=5), suspend_above=AT_ONCE)
ATTEMPTS = {"flaky": 4}
LONGEST_PROGRAM = 7
DEEPEST = 2
REFUSED = "tests.crash.bodies:Refused"


class Ping(msgspec.Struct, frozen=True):
    """A message that some wait without a limit consumes."""

    text: str


class Maybe(msgspec.Struct, frozen=True):
    """A message that a wait with a limit may consume."""

    text: str


class Act(msgspec.Struct, frozen=True):
    """One command. `milliseconds` is how long it takes or waits; `away` leaves memory at once."""

    kind: str
    text: str
    milliseconds: int = 0
    away: bool = False
    parts: tuple[tuple[Act, ...], ...] = ()


Program = tuple[Act, ...]

SIMPLE = (
    *("touch", "touch", "thread", "once", "once", "unflushed", "nested", "refuse", "flaky"),
    *("sleep", "ping", "ping", "maybe", "now"),
)


def program_of(seed: int, number: int) -> Program:
    """Give the program of a flow; the same for the same seed and number."""
    chance = random.Random(f"{seed} {number}")
    acts = _acts(chance, "", 0)
    if chance.random() < 0.1:
        acts = (*acts, Act("fail", f"fail {number}"))
    return acts


def _acts(chance: random.Random, prefix: str, depth: int) -> Program:
    count = chance.randint(1, LONGEST_PROGRAM - 2 * depth)
    return tuple(_act(chance, f"{prefix}{number}", depth) for number in range(count))


def _act(chance: random.Random, text: str, depth: int) -> Act:
    away = chance.random() < 0.5
    if depth < DEEPEST and chance.random() < 0.25:
        if chance.random() < 0.5:
            return Act("child", text, away=away, parts=(_acts(chance, f"{text}.", depth + 1),))
        parts = tuple(_acts(chance, f"{text}.{one}.", depth + 1) for one in "abc")
        return Act("branches", text, parts=parts)
    return Act(chance.choice(SIMPLE), text, chance.randint(0, 30), away)


def messages_of(program: Program) -> list[Ping | Maybe]:
    """Give what must be sent to a flow so that its program can end; children get their own."""
    sent: list[Ping | Maybe] = []
    for act in program:
        if act.kind == "ping":
            sent.append(Ping(f"ping {act.text}"))
        elif act.kind == "maybe" and act.away:
            sent.append(Maybe(f"maybe {act.text}"))
        elif act.kind == "branches":
            sent += [one for part in act.parts for one in messages_of(part)]
    return sent


def children_of(id: str, program: Program) -> list[tuple[str, Program]]:
    """Give id and program of each child, and of theirs."""
    found: list[tuple[str, Program]] = []
    for act in program:
        if act.kind == "child":
            found.append((f"{id}/{act.text}", act.parts[0]))
            found += children_of(f"{id}/{act.text}", act.parts[0])
        elif act.kind == "branches":
            found += [child for part in act.parts for child in children_of(id, part)]
    return found


def expected(program: Program) -> Any:
    """Say how a program ends if nothing is interrupted."""
    if program and program[-1].kind == "fail":
        return {"error": f"{REFUSED}: {program[-1].text}"}
    return [_expected(act) for act in program]


def _expected(act: Act) -> Any:
    match act.kind:
        case "refuse":
            return f"Refused: {act.text}"
        case "sleep" | "ping" | "maybe" | "now":
            return act.kind
        case "branches":
            return [expected(part) for part in act.parts]
        case "child":
            return expected(act.parts[0])
        case "nested":
            return f"{act.text}!!"
        case _:
            return f"{act.text}!"


@effect(flush=False)
async def unflushed(value: str) -> str:
    return await touch(value)


@flow
async def interpret(program: Program) -> str:
    """Run a program; its results are JSON."""
    begun()
    return msgspec.json.encode(await _run(program)).decode()


async def _run(program: Program) -> list[Any]:
    uses: Counter[str] = Counter()
    return [await _perform(act, uses) for act in program]


def _next(uses: Counter[str], name: str) -> str:
    """Give the name that the next use of an engine's own name has in this scope."""
    uses[name] += 1
    return name if uses[name] == 1 else f"{name}#{uses[name]}"


async def _perform(act: Act, uses: Counter[str]) -> Any:
    match act.kind:
        case "sleep" | "ping" | "maybe" | "now":
            await _wait(act, uses)
            return act.kind
        case "branches":
            parts = await gather(*(_run(part) for part in act.parts))
            return list(parts)
        case "child":
            return await _child(act, uses)
        case "fail":
            raise Refused(act.text)
        case _:
            return await _capture(act)


async def _wait(act: Act, uses: Counter[str]) -> None:
    stay = AT_ONCE if act.away else None
    duration = timedelta(milliseconds=act.milliseconds)
    match act.kind:
        case "sleep":
            await slept(_next(uses, "sleep"), duration, stay)
        case "ping":
            await received(_next(uses, "message:Ping"), message(Ping, suspend_after=stay))
        case "maybe":
            wait = message(Maybe, timeout=duration, suspend_after=stay)
            await received(_next(uses, "message:Maybe"), wait, duration)
        case _:
            await now()


async def _capture(act: Act) -> str:
    name = f"{act.kind} {act.text}".replace(".", " ")
    match act.kind:
        case "touch":
            return await saw(name, capture(name, touch, act.text))
        case "thread":
            return await saw(name, capture(name, touch_in_thread, act.text))
        case "once":
            return await once(name, capture(name, touch_once, act.text))
        case "unflushed":
            return await capture(name, unflushed, act.text)
        case "nested":
            return await saw(name, capture(name, _nested, act.text))
        case "flaky":
            rule = RETRY_AWAY if act.away else RETRY
            tried = effect(flaky, name=f"flaky {act.text}".replace(".", " "), retry=rule)
            return await saw(name, tried(act.text, 2))
        case _:
            try:
                return await saw(name, capture(name, refuse, act.text))
            except Refused as error:
                return f"Refused: {error}"


async def _nested(value: str) -> str:
    key = key_of_body()
    note("begin", key)
    inner = await saw("inner", capture("inner", touch, value))
    note("end", key, f"{inner}!")
    return f"{inner}!"


async def _child(act: Act, uses: Counter[str]) -> Any:
    key = key_here(_next(uses, "interpret"))
    child = f"{current_flow().id}/{act.text}"
    try:
        if act.away:
            text = await (await interpret.schedule(child, act.parts[0])).completion()
        else:
            text = await interpret.run(child, act.parts[0])
    except FlowFailed as error:
        text = msgspec.json.encode({"error": f"{error.error.type}: {error.error.message}"}).decode()
    note("saw", key, short(text))
    return msgspec.json.decode(text)
