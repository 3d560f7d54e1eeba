"""Questions with their answers, refusals and validation; states on the way."""

from __future__ import annotations

from tests.crash.bodies import begun, saw, touch
from tests.crash.cases.case import AT_ONCE, LONG, Asking, Case, Paid, Seen, Sent, Shipped
from tests.crash.ledger import key_here, note
from unbroken import Question, capture, current_flow, flow, gather, question


async def asked(name: str, waiting: Question[Paid]) -> Question[Paid]:
    """Say which question the flow got."""
    note("received", key_here(name), waiting.value.text)
    return waiting


def not_bad(paid: Paid) -> None:
    if paid.text.startswith("bad"):
        raise ValueError(f"{paid.text} is refused")


async def show(state: int) -> None:
    await current_flow().publish(state)


@flow
async def questions(order: str) -> Seen:
    begun()
    await show(1)
    first = await asked("question:Paid", await question(Paid))
    seen = {"a": await saw("a", capture("a", touch, first.value.text))}
    await show(2)
    await first.answer(seen["a"])
    await show(3)
    await show(4)
    second = await asked("question:Paid#2", await question(Paid, validate=not_bad))
    third = await question(Shipped, suspend_after=AT_ONCE)
    note("received", key_here("question:Shipped"), third.value.text)
    await third.answer(third.value.text)
    seen["b"] = await saw("b", capture("b", touch, order))
    await second.refuse(seen["b"])
    await show(5)
    return seen


@flow
async def questions_suspended(order: str) -> Seen:
    return await questions(order)


@flow
async def questions_in_branches(order: str) -> Seen:
    begun()

    async def answers() -> str:
        in_time = await question(Paid, validate=not_bad, timeout=LONG)
        assert in_time is not None
        got = await asked("question:Paid", in_time)
        value = await saw("a", capture("a", touch, got.value.text))
        await got.answer(value)
        return value

    async def acts() -> str:
        return await saw("b", capture("b", touch, order))

    a, b = await gather(answers(), acts())
    return {"a": a, "b": b}


ASKED = (
    Asking(Paid("1"), "first", answer="1!"),
    Asking(Paid("1"), "first", answer="1!"),
    Asking(Paid("bad 2"), "second", answer="bad 2 is refused"),
    Asking(Paid("bad 3"), "third", answer="bad 3 is refused"),
    Sent(Paid("4"), "fourth"),
    Asking(Shipped("5"), "fifth", answer="5"),
    Asking(Paid("4"), "fourth", answer="book!"),
)
IN_BRANCHES = (
    Asking(Paid("bad 1"), "first", answer="bad 1 is refused"),
    Asking(Paid("2"), "second", answer="2!"),
)

CASES = {
    "questions": Case(questions, messages=ASKED),
    "questions_suspended": Case(questions_suspended, messages=ASKED, suspend_after=AT_ONCE),
    "questions_in_branches": Case(
        questions_in_branches, messages=IN_BRANCHES, suspend_after=AT_ONCE
    ),
}
ORPHANS = {
    "questions": "end a",
    "questions_suspended": "end b",
}
