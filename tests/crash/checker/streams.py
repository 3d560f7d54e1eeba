"""Which messages a stream's effect says that it consumed, read without a line of our own code."""

from __future__ import annotations

import msgspec

from tests.crash.snapshot import EffectRow


def taken_by(row: EffectRow) -> list[int]:
    """Give the positions in the order in which they were taken; an error took none."""
    if row.kind != "stream" or row.failed:
        return []
    body = msgspec.json.decode(row.body)
    if body["type"] == "turn":
        return [position for position, _, _ in body["taken"]]
    return [position for first, last in body["taken"] for position in range(first, last + 1)]
