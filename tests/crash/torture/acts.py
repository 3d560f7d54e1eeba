"""What random programs are made of: commands, messages, and which commands a language has."""

from __future__ import annotations

import msgspec

from unbroken import InitialMessage, InitialState

LONGEST_PROGRAM = 6
DEEPEST = 2
GIVEN = "given"
BAD = "bad"


class Ping(msgspec.Struct, frozen=True):
    """A message that some wait without a limit consumes."""

    text: str


class Maybe(msgspec.Struct, frozen=True):
    """A message that a wait with a limit may consume."""

    text: str


class Letter(msgspec.Struct, frozen=True):
    """A message that reaches whoever registered for it; one flow wants it."""

    text: str


class Ask(msgspec.Struct, frozen=True):
    """A question."""

    text: str


class Nudge(msgspec.Struct, frozen=True):
    """A message that wakes a flow, and that nobody takes."""

    text: str


class Never(msgspec.Struct, frozen=True):
    """A message that nobody sends."""

    text: str


class Act(msgspec.Struct, frozen=True):
    """One command. `milliseconds` is how long it takes or waits; `away` leaves memory at once.

    `option` says what the parent's cancel does to a child.
    """

    kind: str
    text: str
    milliseconds: int = 0
    away: bool = False
    parts: tuple[tuple[Act, ...], ...] = ()
    option: str = "cancel"


Program = tuple[Act, ...]


class Language(msgspec.Struct, frozen=True):
    """Which commands programs are made of, and where each may stand."""

    alone: tuple[str, ...]
    """What ends by itself, without a message; so it may stand in a block."""
    simple: tuple[str, ...]
    """What may stand in any scope."""
    blocks: tuple[str, ...]
    """What holds others, all of which end by themselves."""
    tops: tuple[str, ...] = ()
    """What may stand only in the flow's own scope."""
    endings: tuple[str, ...] = ("fail",)
    """How a flow may end otherwise than by returning."""
    child_endings: tuple[str, ...] = ("fail",)
    is_slow: bool = True
    """Whether some waits last for seconds."""
    forgets: bool = True
    """Whether a run that another one follows may do what is looked for at the end."""


ALONE = (
    *("touch", "thread", "once", "unflushed", "nested", "refuse", "flaky", "sleep", "now"),
    *("until", "resolve"),
)
SIMPLE = (*ALONE, "touch", "once", "ping", "ping", "maybe", "stream", "loop", "question")
BLOCKS = ("race", "saga", "lock", "room")
CHILDREN = frozenset({"child", "sown"})
DEPLOYED = ("added", "removed", "moved", "renamed", "shipped", "patched")

TOPS = ("postpone", "suspend", "stumble", "strict", "preset")

TORTURE = Language(
    ALONE, SIMPLE, BLOCKS, tops=("postpone",), endings=("fail", "fail", "anew"), forgets=False
)
WHOLE = Language(
    ALONE,
    (*SIMPLE, "letter", "question", "common", "sown", "swallow", "tidy", *DEPLOYED),
    BLOCKS,
    tops=(*TOPS, *TOPS, "poison"),
    endings=("fail", "never", "anew"),
    child_endings=("fail", "anew"),
)


# A flow that many flows want, and all under one id.
COMMON_ID = "common"
COMMON: Program = (
    Act("touch", "c0"),
    Act("sleep", "c1", 300, away=True),
    Act("once", "c2"),
    Act("thread", "c3"),
)


def taken_by_stream(act: Act) -> int:
    """Say how many messages a stream takes."""
    return 2 if act.milliseconds % 3 == 0 else 1


def address_of(id: str, act: Act) -> str:
    """Give the correlation id for which a flow registers; it leaves only what nobody shares."""
    return f"mail of {id} {act.text}" if leaves_address(act) else f"mail {act.milliseconds % 2}"


def leaves_address(act: Act) -> bool:
    """Whether a flow lets go of its correlation id when it has its letter."""
    return act.milliseconds % 3 == 0


def walk(program: Program) -> list[Act]:
    """Give each act of one flow's own code, those in blocks, branches and later runs too."""
    found: list[Act] = []
    for act in program:
        found.append(act)
        if act.kind not in CHILDREN:
            found += [inner for part in act.parts for inner in walk(part)]
    return found


def has_any(program: Program, kinds: frozenset[str]) -> bool:
    """Whether a flow's own code has an act of one of these kinds."""
    return any(act.kind in kinds for act in walk(program))


def children_of(id: str, program: Program) -> list[tuple[str, Program]]:
    """Give id and program of each child, and of theirs."""
    found: list[tuple[str, Program]] = []
    for act in walk(program):
        if act.kind in CHILDREN:
            found.append((f"{id}/{act.text}", act.parts[0]))
            found += children_of(f"{id}/{act.text}", act.parts[0])
    return found


def messages_of(program: Program) -> list[Ping | Maybe]:
    """Give what must be sent to a flow so that its program can end; children get their own."""
    sent: list[Ping | Maybe] = []
    for act in walk(program):
        if act.kind in {"ping", "stream"}:
            sent.append(Ping(f"ping {act.text}"))
        if act.kind == "stream" and taken_by_stream(act) == 2:
            sent.append(Ping(f"ping {act.text} too"))
        if act.kind == "maybe" and act.away:
            sent.append(Maybe(f"maybe {act.text}"))
    return sent


def questions_of(program: Program) -> list[Ask]:
    """Give what must be asked of a flow; one in four is refused."""
    asked = [act for act in walk(program) if act.kind == "question"]
    return [Ask(f"{BAD if act.milliseconds % 4 == 0 else 'good'} {act.text}") for act in asked]


def reply_to(question: Ask) -> str:
    """Say what the one who asks gets: an answer, or the reason of a refusal."""
    return f"no: {question.text}" if question.text.startswith(BAD) else f"re: {question.text}"


def initial_of(program: Program, refusal: type[Exception]) -> InitialState | None:
    """Give what a flow finds before its first line: one preset of each sort, and its messages."""
    presets = [act for act in walk(program) if act.kind == "preset"]
    if not presets:
        return None
    names = {act.text: f"preset {act.text}".replace(".", " ") for act in presets}
    of_sort = [[act for act in presets if act.milliseconds % 3 == sort] for sort in range(3)]
    return InitialState(
        effects={names[act.text]: f"{GIVEN} {act.text}" for act in of_sort[0]},
        failed={names[act.text]: refusal(f"{GIVEN} {act.text}") for act in of_sort[1]},
        started=[names[act.text] for act in of_sort[2]],
        messages=[InitialMessage(one, one.text) for one in messages_of(program)[:1]],
    )
