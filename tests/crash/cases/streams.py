"""Streams: ends, a loop, a limit, and an operator that fails."""

from __future__ import annotations

from tests.crash.bodies import Refused, begun, received, saw, touch
from tests.crash.cases.case import AT_ONCE, LONG, SHORT, Case, Never, Paid, Seen, Sent, Shipped
from tests.crash.ledger import key_here, note
from unbroken import capture, flow, gather, message, messages


def text_of(letter: Paid | Shipped) -> str:
    return letter.text


def refuse_nine(text: str) -> bool:
    if text == "9":
        raise Refused(text)
    return False


@flow
async def streams(order: str) -> Seen:
    begun()
    seen = {"a": await saw("a", capture("a", touch, order))}
    pair = messages(Paid).where(lambda paid: paid.text != "9").map(text_of).take(2)
    seen["pair"] = await received("messages:Paid", pair.completion())
    never = messages(Never).until(SHORT).first_or_none()
    seen["never"] = await received("messages:Never", never, SHORT)
    try:
        await saw("messages:Paid#2", messages(Paid).map(text_of).map(refuse_nine).first())
    except Refused as error:
        seen["refused"] = str(error)
    seen["loop"] = await loop("messages:Paid|Shipped")
    seen["b"] = await saw("b", capture("b", touch, seen["loop"]))
    seen["rest"] = await received("message:Shipped", message(Shipped))
    return seen


async def loop(name: str) -> str:
    """Go through three messages, and say what the flow got in each turn."""
    texts: list[str] = []
    joined = messages(Paid, Shipped).map(text_of).scan("", lambda total, text: f"{total}-{text}")
    async for text in joined.until(LONG).take(3):
        turn = len(texts) + 1
        note("received", key_here(name if turn == 1 else f"{name}#{turn}"), text)
        texts.append(text)
    return " ".join(texts)


@flow
async def streams_suspended(order: str) -> Seen:
    return await streams(order)


@flow
async def stream_branches(order: str) -> Seen:
    begun()

    async def collects() -> str:
        pair = messages(Paid).map(text_of).take(2)
        return await received("messages:Paid", pair.completion(suspend_after=AT_ONCE))

    async def loops() -> str:
        one = messages(Shipped).map(text_of).take(1)
        return " ".join([text async for text in one])

    collected, looped = await gather(collects(), loops())
    return {"collected": collected, "looped": looped}


SENT = (
    Sent(Paid("1"), "first"),
    Sent(Paid("9"), "other"),
    Sent(Paid("2"), "second", after="a"),
    Sent(Shipped("3"), "third", after="messages:Paid"),
    Sent(Paid("4"), "fourth"),
    Sent(Shipped("5"), "fifth", after="messages:Paid|Shipped"),
)

CASES = {
    "streams": Case(streams, messages=SENT),
    "streams_suspended": Case(streams_suspended, messages=SENT, suspend_after=AT_ONCE),
    "stream_branches": Case(
        stream_branches,
        messages=(Sent(Paid("1"), "1"), Sent(Shipped("2"), "2"), Sent(Paid("3"), "3")),
    ),
}
ORPHANS = {"streams_suspended": "commit messages:Paid|Shipped"}
