"""What an incarnation records: effects with all that goes with them, and the published state."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tests.stores.differential.model.tables import Age, Tables, is_beneath
from unbroken.stores.batch import Also, Publish, Record
from unbroken.stores.store import State


def record_all(tables: Tables, replica: str, records: Sequence[Record]) -> frozenset[int]:
    """Write records one after the other; give the indices of those that were refused."""
    return frozenset(
        index for index, record in enumerate(records) if not _record(tables, replica, record)
    )


def publish(tables: Tables, replica: str, part: Publish) -> None:
    """Show a state, if the replica owns this incarnation."""
    if tables.owned_flow(part.flow, replica, part.incarnation):
        tables.states[part.flow] = State(part.body, part.type)


def _record(tables: Tables, replica: str, record: Record) -> bool:
    flow, key = record.flow, record.effect.key
    owns = tables.owned_flow(flow, replica, record.incarnation) is not None
    if not owns or (flow, key) in tables.effects:
        return False
    tables.effects[flow, key] = replace(record.effect, incarnation=record.incarnation)
    tables.mark(flow, record.consumes, Age.CONSUMED)
    if record.clears:
        tables.forget(flow, *(one for one in tables.keys_of(flow) if is_beneath(key, one)))
    if record.also is not None:
        _do_also(tables, flow, key, record.also)
    return True


def _do_also(tables: Tables, flow: int, own: str, also: Also) -> None:
    others = [key for key in tables.keys_of(flow) if key != own]
    tables.forget(flow, *(key for key in others if key.startswith(also.drops)))
    for key in also.forgets:
        tables.forget(flow, *(one for one in others if one == key or is_beneath(key, one)))
    tables.mark(flow, also.restores, Age.PENDING)
    if also.replies_to is not None and also.reply is not None:
        mail = tables.mails.get((flow, also.replies_to))
        if mail is not None:
            tables.mails[flow, also.replies_to] = replace(mail, reply=also.reply)
