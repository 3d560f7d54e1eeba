"""The first primitives: captures, retries, messages, waits, branches, children, classes."""

from __future__ import annotations

from datetime import timedelta

from tests.crash.bodies import (
    Refused,
    begun,
    flaky,
    once,
    received,
    refuse,
    refuse_once,
    saw,
    slept,
    tally,
    touch,
    touch_in_thread,
    touch_once,
)
from tests.crash.cases.case import AT_ONCE, LONG, SHORT, Case, Never, Paid, Seen, Sent, Shipped
from tests.crash.ledger import key_here, key_of_body, note, short
from unbroken import (
    FlowFailed,
    Retry,
    capture,
    current_flow,
    effect,
    flow,
    gather,
    message,
    now,
    postpone,
)

# captures


@effect(flush=False)
async def touch_unflushed(value: str) -> str:
    return await touch(value)


@flow
async def captures(order: str) -> Seen:
    begun()
    seen = {"a": await saw("a", capture("a", touch, order))}
    seen["b"] = await saw("b", capture("b", touch_in_thread, seen["a"]))
    seen["c"] = await touch_unflushed(order)
    seen["d"] = await saw("d", capture("d", touch, order))
    seen["touch"] = await saw("touch", capture(touch, order))
    return seen


@flow
async def nested(order: str) -> Seen:
    begun()

    async def inner_ones() -> str:
        key = key_of_body()
        note("begin", key)
        first = await saw("x", capture("x", touch, order))
        second = await saw("y", capture("y", touch_in_thread, first))
        note("end", key, second)
        return second

    seen = {"outer": await saw("outer", capture("outer", inner_ones))}
    seen["after"] = await saw("after", capture("after", touch, seen["outer"]))
    return seen


# at most once


@flow
async def at_most_once(order: str) -> Seen:
    begun()
    seen = {"touch_once": await once("touch_once", touch_once(order))}
    seen["second"] = await once("second", capture("second", touch_once, order))
    try:
        seen["refuse_once"] = await once("refuse_once", refuse_once(order))
    except Refused as error:
        seen["refuse_once"] = f"Refused: {error}"
    return seen


@flow
async def once_in_a_body(order: str) -> Seen:
    begun()

    async def outer() -> str:
        key = key_of_body()
        note("begin", key)
        value = await once("touch_once", touch_once(order))
        note("end", key, value)
        return value

    seen = {"outer": await saw("outer", capture("outer", outer))}
    seen["after"] = await saw("after", capture("after", touch, order))
    return seen


# retries and failures


@flow
async def retries(order: str) -> Seen:
    begun()
    quick = Retry(4, initial_delay=timedelta(milliseconds=10), jitter=0)
    away = Retry(4, initial_delay=timedelta(milliseconds=10), jitter=0, suspend_above=timedelta(0))
    seen = {"warm": await saw("warm", effect(flaky, name="warm", retry=quick)(order, 2))}
    seen["cold"] = await saw("cold", effect(flaky, name="cold", retry=away)(order, 2))
    return seen


@flow
async def compensation(order: str) -> Seen:
    begun()
    await saw("debit", capture("debit", touch, order))
    try:
        await saw("credit", capture("credit", refuse, order))
    except Refused:
        await saw("rollback", capture("rollback", touch, order))
        raise
    return {}


# messages


@flow
async def messages(order: str) -> Seen:
    begun()
    seen = {"a": await saw("a", capture("a", touch, order))}
    seen["paid"] = await received("message:Paid", message(Paid, where=lambda m: m.text == "2"))
    seen["shipped"] = await received("message:Shipped", message(Shipped))
    seen["rest"] = await received("message:Paid|Shipped", message(Paid, Shipped))
    seen["b"] = await saw("b", capture("b", touch, seen["rest"]))
    return seen


SENT = (
    Sent(Paid("1"), "first"),
    Sent(Paid("2"), "second", after="a"),
    Sent(Paid("2"), "second"),
    Sent(Shipped("3"), "third", after="message:Paid"),
)


@flow
async def messages_suspended(order: str) -> Seen:
    return await messages(order)


@flow
async def timeouts(order: str) -> Seen:
    begun()
    seen = {"none": await received("message:Never", message(Never, timeout=SHORT), SHORT)}
    paid = message(Paid, timeout=LONG)
    seen["paid"] = await received("message:Paid", paid, LONG)
    away = message(Never, timeout=SHORT, suspend_after=AT_ONCE)
    seen["away"] = await received("message:Never#2", away, SHORT)
    seen["b"] = await saw("b", capture("b", touch, order))
    return seen


# time


@flow
async def sleeps(order: str) -> Seen:
    begun()
    await slept("sleep", SHORT)
    seen = {"a": await saw("a", capture("a", touch, order))}
    await slept("sleep#2", SHORT, suspend_after=AT_ONCE)
    seen["b"] = await saw("b", capture("b", touch, order))
    return seen


@flow
async def postpones(order: str) -> Seen:
    begun()
    seen = {"a": await saw("a", capture("a", touch, order))}
    if tally("overloaded") <= 2:
        await postpone(SHORT)
    seen["b"] = await saw("b", capture("b", touch, order))
    return seen


@flow
async def instants(order: str) -> Seen:
    begun()
    first = (await now()).isoformat()
    # Recorded together with the effect after it, so its body may see another instant each time.
    seen = {"a": await saw("a", capture("a", touch, first)), "now": first}
    seen["same"] = str(seen["a"] == f"{first}!")
    return seen


# branches and children


@flow
async def branches(order: str) -> Seen:
    begun()

    async def waits() -> str:
        await slept("sleep", 4 * SHORT, suspend_after=AT_ONCE)
        return await saw("a", capture("a", touch, order))

    async def hears() -> str:
        return await received("message:Paid", message(Paid, suspend_after=AT_ONCE))

    async def acts() -> str:
        first = await saw("a", capture("a", touch_in_thread, order))
        return await once("touch_once", touch_once(first))

    waited, heard, acted = await gather(waits(), hears(), acts())
    after = await saw("after", capture("after", touch, order))
    return {"waited": waited, "heard": heard, "gather/2/touch_once": acted, "after": after}


@flow
async def child(order: str) -> str:
    begun()
    await slept("sleep", SHORT, suspend_after=AT_ONCE)
    return await saw("a", capture("a", touch, order))


@flow
async def failing_child(order: str) -> str:
    begun()
    return await saw("a", capture("a", refuse, order))


@flow
async def parent(order: str) -> Seen:
    begun()
    seen = {"child": await saw("child", child.run(f"{current_flow().id}/1", order))}
    try:
        await failing_child.run(f"{current_flow().id}/2", order)
    except FlowFailed as error:
        seen["failing"] = f"{error.error.type}: {error.error.message}"
        note("saw", key_here("failing_child"), seen["failing"])
    seen["after"] = await saw("after", capture("after", touch, order))
    return seen


@flow
async def two_children(order: str) -> Seen:
    begun()
    me = current_flow().id
    first = await child.schedule(f"{me}/1", f"{order} 1")
    second = await child.schedule(f"{me}/2", f"{order} 2")
    seen = {"child#2": await saw("child#2", second.completion())}
    seen["child"] = await saw("child", first.completion())
    return seen


# the rest


def much(size: int) -> str:
    note("begin", key_of_body())
    text = "much " * (size // 5)
    note("end", key_of_body(), short(text))
    return text


@flow
async def large(order: str) -> Seen:
    begun()
    text = await capture(much, 400_000)
    note("saw", "much", short(text))
    seen = {"text": text}
    seen["a"] = await saw("a", capture("a", touch, order))
    return seen


@flow(name="Orders")
class ClassFlow:
    def __init__(self) -> None:
        self.prefix = "class"

    async def run(self, order: str) -> Seen:
        begun()
        seen = {"reserve": await saw("reserve", self.reserve(order))}
        seen["ship"] = await once("ship", self.ship(order))
        heard = message(Paid, suspend_after=AT_ONCE)
        seen["paid"] = await received("message:Paid", heard)
        return seen

    @effect
    async def reserve(self, order: str) -> str:
        return await touch(f"{self.prefix} {order}")

    @effect(at_most_once=True)
    async def ship(self, order: str) -> str:
        key = key_of_body()
        note("begin", key, once=True)
        note("end", key, f"{self.prefix} {order}", once=True)
        return f"{self.prefix} {order}"


CASES = {
    "captures": Case(captures),
    "nested": Case(nested),
    "at_most_once": Case(at_most_once),
    "once_in_a_body": Case(once_in_a_body),
    "retries": Case(retries),
    "compensation": Case(compensation),
    "messages": Case(messages, messages=SENT),
    "messages_suspended": Case(messages_suspended, messages=SENT, suspend_after=AT_ONCE),
    "timeouts": Case(timeouts, messages=(Sent(Paid("1"), "first", after="message:Never"),)),
    "sleeps": Case(sleeps),
    "postpones": Case(postpones),
    "instants": Case(instants, volatile=("a", "now")),
    "branches": Case(branches, messages=(Sent(Paid("1"), "first", "gather/2/touch_once"),)),
    "parent": Case(parent, children=(child, failing_child)),
    "two_children": Case(two_children, children=(child,)),
    "large": Case(large),
    "class_flow": Case(ClassFlow, messages=(Sent(Paid("1"), "first", after="ship"),)),
}


# Flows whose first process has died already, at this point: who takes them over is killed too.
ORPHANS = {
    "captures": "begin b",
    "at_most_once": "end second",
    "retries": "raise cold",
    "messages_suspended": "commit message:Paid",
    "timeouts": "commit message:Paid.due",
    "branches": "end gather/2/touch_once",
    "parent": "end a",
}
