"""How effects of streams are recorded, and which messages an effect consumed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from unbroken.model.records import Effect, Kind


class Answer(msgspec.Struct, frozen=True, tag="answer", omit_defaults=True):
    """The recorded answer of an end: the positions it consumed, as ranges, and the value.

    Without a value the stream ended and nothing had reached its end.
    """

    taken: list[tuple[int, int]]
    value: msgspec.Raw = msgspec.Raw()


class Taken(msgspec.Struct, frozen=True, array_like=True):
    """A message that a turn consumed."""

    position: int
    type: str
    body: msgspec.Raw


class Turn(msgspec.Struct, frozen=True, tag="turn", omit_defaults=True):
    """One recorded turn: what it consumed, whether it gave a value, whether time ended the stream.

    `due`: when time ends it.
    """

    taken: list[Taken]
    gives: bool = False
    is_over: bool = False
    due: int | None = None


def ranges(positions: Iterable[int]) -> list[tuple[int, int]]:
    """Fold neighbours together; the order stays."""
    folded: list[tuple[int, int]] = []
    for position in positions:
        if folded and position == folded[-1][1] + 1:
            folded[-1] = (folded[-1][0], position)
        else:
            folded.append((position, position))
    return folded


def positions_of(effect: Effect) -> list[int]:
    """Give the positions of the messages that a recorded wait, answer or turn consumed."""
    if effect.kind == Kind.MESSAGE:
        return [] if effect.digest is None else [effect.digest]
    if effect.kind != Kind.STREAM or effect.failed:
        return []
    body = msgspec.json.decode(effect.body, type=Answer | Turn)
    if isinstance(body, Turn):
        return [one.position for one in body.taken]
    return [position for first, last in body.taken for position in range(first, last + 1)]
