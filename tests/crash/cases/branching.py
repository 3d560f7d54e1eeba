"""Races and loops."""

from __future__ import annotations

from tests.crash.bodies import begun, received, saw, slept, touch, touch_in_thread
from tests.crash.cases.case import AT_ONCE, SHORT, Case, Never, Paid, Seen, Sent, Shipped
from tests.crash.ledger import key_here, note
from unbroken import FlowCancelled, capture, current_flow, flow, for_each, gather, message, race

# races


@flow
async def race_given_back(order: str) -> Seen:
    begun()

    async def loser() -> str:
        held = await message(Paid)
        text = await saw("a", capture("a", touch, held.text))
        await message(Never, suspend_after=AT_ONCE)
        return text

    async def winner() -> str:
        shipped = await received("message:Shipped", message(Shipped, suspend_after=AT_ONCE))
        return await saw("b", capture("b", touch, shipped))

    index, text = await race(loser(), winner())
    seen = {"index": str(index), "text": text}
    seen["paid"] = await received("message:Paid", message(Paid))
    seen["after"] = await saw("after", capture("after", touch, order))
    return seen


@flow
async def losing_child(order: str) -> str:
    begun()
    await saw("c", capture("c", touch, order))
    try:
        await message(Never, suspend_after=AT_ONCE)
    except FlowCancelled:
        await saw("undo", capture("undo", touch, order))
        raise
    return "?"


@flow
async def race_children(order: str) -> Seen:
    begun()
    child = f"{current_flow().id}/1"
    index, _ = await race(
        losing_child.run(child, order),
        gather(message(Never), capture("slow", message_of_nobody)),
        received("message:Shipped", message(Shipped)),
    )
    seen = {"index": str(index)}
    try:
        await losing_child.run(child, order)
    except FlowCancelled as error:
        seen["child"] = type(error).__name__
        note("saw", key_here("losing_child#2"), seen["child"])
    seen["after"] = await saw("after", capture("after", touch, order))
    return seen


async def message_of_nobody() -> str:
    return "nobody"


# loops


@flow
async def loops(order: str) -> Seen:
    begun()

    async def inner(letters: str, n: int) -> str:
        return letters + await saw("x", capture("x", touch_in_thread, f"{n}"))

    async def body(found: list[str], n: int) -> list[str]:
        text = await saw("a", capture("a", touch, f"{order} {n}"))
        if n == 1:
            await slept("sleep", SHORT, suspend_after=AT_ONCE)
        if n == 2:
            text += await received("message:Paid", message(Paid, suspend_after=AT_ONCE))
        if n == 3:
            text += await for_each(range(2), inner, initial="")
        return [*found, text]

    start: list[str] = []
    found = await for_each(range(5), body, initial=start, key=str)
    after = await saw("after", capture("after", touch, order))
    return {"found": ", ".join(found), "after": after}


GIVEN_BACK = (
    Sent(Paid("1"), "first"),
    Sent(Shipped("2"), "second", after="race/0/a"),
)

CASES = {
    "race_given_back": Case(race_given_back, messages=GIVEN_BACK),
    "race_suspended": Case(race_given_back, messages=GIVEN_BACK, suspend_after=AT_ONCE),
    "race_children": Case(
        race_children,
        children=(losing_child,),
        messages=(Sent(Shipped("1"), "first", "c"),),
        # What losers recorded goes, also under keys that were taken where the race is written.
        exempt=("stored_is_never_rewritten",),
    ),
    "loops": Case(
        loops,
        messages=(Sent(Paid("1"), "first"),),
        # What an item recorded goes when it is done, so nothing tells who consumed its message.
        exempt=("stored_consumption_agrees",),
    ),
}

ORPHANS = {
    "race_given_back": "commit race/0/message:Paid",
    "loops": "commit for_each/2/message:Paid",
}
