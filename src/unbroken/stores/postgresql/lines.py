"""The changes of a batch as lines of one statement: each line changes one flow's row."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from unbroken.model.records import Parent, Status
from unbroken.stores.batch import Append, Change, End, NewMessage


class Line(msgspec.Struct, frozen=True):
    """One row to change; with `parent` it is the parent's, told of the end in the line before."""

    part: Change
    parent: Parent | None = None
    messages: Sequence[NewMessage] = ()


def lines_of(changes: Sequence[Change]) -> list[Line]:
    """Give the lines in the order of the changes."""
    lines: list[Line] = []
    for part in changes:
        if isinstance(part, Append):
            lines.append(Line(part, messages=part.messages))
            continue
        lines.append(Line(part))
        if isinstance(part, End) and part.told is not None and part.status is not Status.PARKED:
            for parent in part.parents:
                told = NewMessage(parent.key, part.told.type, part.told.body)
                lines.append(Line(part, parent, (told,)))
    return lines
