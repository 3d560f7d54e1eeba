"""Performs programs as the code of a flow: scopes, waits, blocks, children."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec

from tests.crash.bodies import Refused, passed, received, refuse, saw, slept, tally, touch
from tests.crash.ledger import key_here, note, short
from tests.crash.torture.acts import (
    BAD,
    COMMON,
    COMMON_ID,
    Act,
    Ask,
    Letter,
    Maybe,
    Never,
    Ping,
    Program,
    address_of,
    leaves_address,
    reply_to,
    taken_by_stream,
)
from tests.crash.torture.effects import CAPTURES, DEPLOYED, captured, deployed
from tests.crash.torture.predicting import CANCELLED, PASSED
from tests.crash.torture.running import RUNNING, next_name
from unbroken import (
    FlowCancelled,
    FlowFailed,
    capture,
    correlate,
    current_flow,
    for_each,
    gather,
    lock,
    message,
    messages,
    now,
    postpone,
    question,
    race,
    saga,
    semaphore,
    sleep_until,
    suspend,
    uncorrelate,
)

AT_ONCE = timedelta(0)
THE_LOCK = "the lock"
THE_ROOM = "the room"
PLACES = 2


async def run_all(program: Program, *, shows: bool = False) -> list[Any]:
    """Perform the acts of one scope, and publish how many are done."""
    uses: Counter[str] = Counter()
    results: list[Any] = []
    for act in program:
        results.append(await _perform(act, uses))
        if shows:
            await current_flow().publish(1000 * RUNNING.get().run + len(results))
    return results


async def _perform(act: Act, uses: Counter[str]) -> Any:
    match act.kind:
        case "race" | "saga" | "lock" | "room":
            return await _block(act, uses)
        case "loop":
            return await _loop(act)
        case "branches":
            return list(await gather(*(run_all(part) for part in act.parts)))
        case "child" | "sown" | "common":
            return await _child(act, uses)
        case "fail" | "anew" | "never":
            return await _end(act)
        case kind if kind in DEPLOYED:
            return await deployed(act)
        case kind if kind in CAPTURES:
            return await captured(act)
        case kind:
            assert kind in PASSED, kind
            await _wait(act, uses)
            return kind


# waits


async def _wait(act: Act, uses: Counter[str]) -> None:
    stay = AT_ONCE if act.away else None
    duration = timedelta(milliseconds=act.milliseconds)
    match act.kind:
        case "sleep":
            await slept(next_name(uses, "sleep"), duration, stay)
        case "until":
            await _sleep_until(act, uses, duration, stay)
        case "now":
            await _what_time_is_it(act, uses)
        case "swallow":
            await _swallow(uses, duration, stay)
        case "tidy":
            await _tidy(act, uses, duration, stay)
        case "postpone" | "suspend":
            await _leave(act, duration)
        case "letter":
            await _letter(act, uses, stay)
        case _:
            await _receive(act, uses, duration, stay)


async def _what_time_is_it(act: Act, uses: Counter[str]) -> None:
    """The answer goes with the next write; from then on it is always the same."""
    key, moment = key_here(next_name(uses, "now")), await now()
    name = f"then {act.text}".replace(".", " ")
    await saw(name, capture(name, touch, act.text))
    note("saw", key, moment.isoformat())


async def _sleep_until(
    act: Act, uses: Counter[str], duration: timedelta, stay: timedelta | None
) -> None:
    next_name(uses, "now")
    key, moment = key_here(next_name(uses, "sleep")), await now()
    instant = int((moment + duration).timestamp() * 1_000_000)
    note("until", key, instant)
    await sleep_until(moment + duration, suspend_after=stay)
    note("reached", key)


async def _swallow(uses: Counter[str], duration: timedelta, stay: timedelta | None) -> None:
    """Take no notice of a cancel, as no flow should."""
    with suppress(FlowCancelled):
        next_name(uses, "message:Never")
        await message(Never, timeout=duration, suspend_after=stay)


async def _tidy(act: Act, uses: Counter[str], duration: timedelta, stay: timedelta | None) -> None:
    """Do something when a wait is over; leaving memory is no such end."""
    name = f"tidy {act.text}".replace(".", " ")
    try:
        await slept(next_name(uses, "sleep"), duration, stay)
        note("waited", name)
    finally:
        await saw(name, capture(name, touch, act.text))


async def _receive(
    act: Act, uses: Counter[str], duration: timedelta, stay: timedelta | None
) -> None:
    match act.kind:
        case "ping":
            await received(next_name(uses, "message:Ping"), message(Ping, suspend_after=stay))
        case "maybe":
            wait = message(Maybe, timeout=duration, suspend_after=stay)
            await received(next_name(uses, "message:Maybe"), wait, duration)
        case "stream":
            stream = messages(Ping).take(taken_by_stream(act))
            await received(next_name(uses, "messages:Ping"), stream.last(suspend_after=stay))
        case _:
            await _answer(
                next_name(uses, "question:Ask"), stay, validates=act.milliseconds % 2 == 1
            )


async def _answer(name: str, stay: timedelta | None, *, validates: bool) -> None:
    key = key_here(name)
    asked = await question(Ask, validate=_not_silly if validates else None, suspend_after=stay)
    note("received", key, asked.value.text)
    if asked.value.text.startswith(BAD):
        await asked.refuse(reply_to(asked.value))
    else:
        await asked.answer(reply_to(asked.value))


def _not_silly(asked: Ask) -> None:
    if asked.text.startswith("silly"):
        raise ValueError(reply_to(asked))


async def _letter(act: Act, uses: Counter[str], stay: timedelta | None) -> None:
    """Be reached under an id that other flows have too, and take one's own letter."""
    about = address_of(current_flow().id, act)
    wanted = f"{current_flow().id} {act.text}"
    await correlate(about)
    note("correlated", act.text, about)
    wait = message(Letter, where=lambda letter: letter.text == wanted, suspend_after=stay)
    await received(next_name(uses, "message:Letter"), wait)
    if leaves_address(act):
        note("uncorrelating", act.text, about)
        await uncorrelate(about)


async def _leave(act: Act, duration: timedelta) -> None:
    """Leave at the first time that it comes here, over all processes."""
    if tally(f"{act.kind} {act.text}") == 1:
        if act.kind == "suspend":
            note("suspending", act.text)
            await suspend()
        await postpone(duration)
    passed(act.text)


# blocks


async def _block(act: Act, uses: Counter[str]) -> Any:
    part, stay = act.parts[0], AT_ONCE if act.away else None
    match act.kind:
        case "race":
            rivals = (_greedy(), run_all(part)) if act.away else (run_all(part), _greedy())
            _, value = await race(*rivals)
            return value
        case "lock":
            async with lock(THE_LOCK, suspend_after=stay):
                return await _guarded("lock", act, uses)
        case "room":
            async with semaphore(THE_ROOM, PLACES, suspend_after=stay):
                return await _guarded("room", act, uses)
        case _:
            return await _undone(act.text, part)


async def _guarded(place: str, act: Act, uses: Counter[str]) -> list[Any]:
    note("entered", act.text, place)
    values = [await _perform(one, uses) for one in act.parts[0]]
    note("left", act.text, place)
    return values


async def _greedy() -> list[Any]:
    """Take a message that others want, and lose the race with it in hand."""
    await message(Ping)
    await message(Never)
    return []


async def _undone(text: str, part: Program) -> str:
    uses: Counter[str] = Counter()
    try:
        async with saga() as way_back:
            for act in part:
                way_back.undo(f"back {act.text}".replace(".", " "), touch, f"back {act.text}")
                await _perform(act, uses)
            name = f"refused {text}".replace(".", " ")
            await saw(name, capture(name, refuse, text))
    except Refused:
        return "undone"
    return "?"


async def _loop(act: Act) -> str:
    async def one(number: int) -> None:
        name = f"item {act.text}".replace(".", " ")
        await saw(name, capture(name, touch, f"{act.text} {number}"))

    await for_each(range(1 + act.milliseconds % 4), one)
    return f"{act.text}!"


# children and endings


async def _child(act: Act, uses: Counter[str]) -> Any:
    key = key_here(next_name(uses, "interpret"))
    policy: Any = act.option
    children = RUNNING.get().children.options(on_cancel=policy)
    child, program = f"{current_flow().id}/{act.text}", act.parts
    if act.kind == "common":
        child, program = COMMON_ID, (COMMON,)
        children = children.options(on_cancel="leave")
    try:
        if act.kind == "sown":
            await children.schedule(child, program[0], 0)
            return act.kind
        if act.away:
            text = await (await children.schedule(child, program[0], 0)).completion()
        else:
            text = await children.run(child, program[0], 0)
    except FlowFailed as error:
        text = msgspec.json.encode({"error": f"{error.error.type}: {error.error.message}"}).decode()
    except FlowCancelled as error:
        if error.flow_id != child:
            raise
        text = msgspec.json.encode(CANCELLED).decode()
    note("saw", key, short(text))
    return msgspec.json.decode(text)


async def _end(act: Act) -> None:
    """End otherwise than by returning: fail, wait for a cancel and compensate, begin anew."""
    if act.kind == "fail":
        raise Refused(act.text)
    if act.kind == "anew":
        running = RUNNING.get()
        await running.own.continue_as_new(act.parts[0], running.run + 1)
    name = f"undo {act.text}"
    try:
        await message(Never, suspend_after=AT_ONCE if act.away else None)
    except FlowCancelled:
        await saw(name, capture(name, touch, act.text))
        raise
