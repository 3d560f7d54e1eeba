"""Mutants of how flows end: cancels, children, places, tries again, states that are shown."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.simulation.mutants import grounds
from tests.simulation.mutants.mutant import Mutant, all_of, method, nothing_now, on, sql, statement
from unbroken.engine import (
    cancelling,
    captures,
    children,
    continuing,
    executor,
    racing,
    states,
    waits,
)
from unbroken.engine.cancelling import heed_cancel
from unbroken.engine.executor import Executor
from unbroken.engine.incarnation import Cancel, Incarnation
from unbroken.engine.outcomes import Ending
from unbroken.engine.scope import Scope
from unbroken.engine.writing import write_together
from unbroken.flows import patches
from unbroken.model.records import Delivery, FlowRef, Outcome, Status
from unbroken.stores.batch import Appended, Changed, End, Record, Start
from unbroken.stores.transactions import endings, starts

END = endings._end
RETURNED = Executor._returned
ARRIVE = waits.arrive


def return_well(self: Executor, incarnation: Incarnation, value: object) -> Ending:
    """Forget that a cancel was raised."""
    incarnation.cancelled_at = None
    return RETURNED(self, incarnation, value)


def no_children(effects: object) -> list[object]:
    """Know of no children that live."""
    return []


async def raise_unrecorded(incarnation: Incarnation, key: str, cancel: Cancel) -> None:
    """Raise the cancel and leave no word of where."""
    incarnation.cancel = None
    incarnation.cancelled_at = key
    raise incarnation.cancel_error()


async def arrive_and_heed(scope: Scope, key: str) -> None:
    """Raise the cancel at whatever comes first, also where a former run has gone past."""
    await ARRIVE(scope, key)
    await heed_cancel(scope, key)


async def write_apart(incarnation: Incarnation, record: Record, *others: Any) -> tuple[Any, ...]:
    """Write that a child was started, and start it then."""
    starts = [one for one in others if isinstance(one, Start)]
    if not starts:
        return await write_together(incarnation, record, *others)
    await write_together(incarnation, record)
    answers = await asyncio.shield(
        incarnation.services.committer.submit(*starts, inside=True),
    )
    return answers or await write_together(incarnation, record)


def key_without_incarnation(incarnation: int, key: str) -> str:
    """Give the key of a child's message as if no flow began anew."""
    return f"~0:{key}"


async def tell_nobody(*_: object) -> Appended:
    """Tell a parent nothing."""
    return Appended((Delivery.NO_SUCH_FLOW,))


async def tell_before(tx: Any, replica: str, part: End) -> Changed:
    """Tell the parents of an end before it is known whether it is accepted."""
    if part.told is not None:
        for parent in part.parents:
            await endings._tell_parent(tx, replica, parent, part.told)
    return await END(tx, replica, part)


async def find_alive(_: object, type_: str, id: str) -> Outcome:
    """Know of no end that came before."""
    return Outcome(FlowRef(0, type_, id), Status.LIVE)


async def free_nothing(*_: object, **__: object) -> tuple[()]:
    """Leave places to whom they were given."""
    return ()


def own_name(scope: Scope, key: str, spec: object) -> str:
    """Know an effect by its name of today alone."""
    return key


def always_patched(scope: Scope, key: str) -> bool:
    """Take the new way, whatever a former run did."""
    scope.incarnation.read(key)
    return True


def never_repeats(scope: Scope) -> bool:
    """Take whatever is published for new."""
    return False


END_IF = "(:status <> 'done' OR NOT cancel)"
WELL = sql("end_flow", END_IF, "(:status = :status)")

CANCELS = on(
    grounds.CANCELS,
    Mutant("a flow ends well although it was cancelled", WELL),
    Mutant(
        "a cancel sets no flag", sql("append", "cancel = max(cancel, :cancels)", "cancel = cancel")
    ),
    Mutant(
        "a flow that swallowed its cancel returns well",
        method(Executor, "_returned", return_well),
        survives="the flag in the flow's row refuses a good end",
    ),
    Mutant(
        "a flow that swallowed its cancel ends well",
        all_of(method(Executor, "_returned", return_well), WELL),
    ),
    Mutant(
        "a cancel does not reach children",
        all_of(
            method(cancelling, "live_children", no_children),
            method(executor, "live_children", no_children),
            method(racing, "live_children", no_children),
        ),
    ),
    Mutant(
        "where a cancel was raised is not recorded",
        method(cancelling, "_accept", raise_unrecorded),
    ),
    Mutant(
        "a cancel is raised before what is recorded",
        method(waits, "arrive", arrive_and_heed),
    ),
    Mutant("a cancel wakes nobody", method(Incarnation, "ask_to_cancel", nothing_now)),
)

FAMILY = on(
    grounds.CHILDREN,
    Mutant("the end of a child is told to nobody", method(endings, "_tell_parent", tell_nobody)),
    Mutant(
        "an end is told before it is accepted", method(endings, "_end", tell_before), is_slow=True
    ),
    Mutant("a child that ended before is waited for", method(starts, "find", find_alive)),
    Mutant(
        "an end does not look who its parents are",
        sql(
            "end_flow", "AND (:status = 'parked' OR parents = :parents)", "AND :parents = :parents"
        ),
    ),
    Mutant(
        "a second parent is not written down",
        sql("join_parents", "parents = :parents,", ""),
    ),
    Mutant("a child is started after its record", method(children, "write_together", write_apart)),
    Mutant(
        "the message of a child's end does not say which run started it",
        method(children, "message_key", key_without_incarnation),
        is_slow=True,
    ),
)

PLACES = on(
    grounds.LOCKS,
    Mutant("a place is granted beyond the limit", sql("grant", "AND most > (", "AND 1000 > (")),
    Mutant(
        "a place is never left",
        statement("leave_queue", "DELETE FROM places WHERE flow = :flow AND queue = :queue AND 0"),
    ),
    Mutant(
        "the place of an ended flow stays",
        statement(
            "delete_places",
            "DELETE FROM places WHERE flow IN (SELECT value FROM json_each(:flows)) AND 0",
        ),
        grounds.TORN_LOCKS,
    ),
    Mutant(
        "a flow that ends frees no places",
        method(endings, "_freed", free_nothing),
        grounds.TORN_LOCKS,
        is_slow=True,
    ),
    Mutant(
        "the last in a queue is the next",
        sql("next_in_queue", "p.position LIMIT", "p.position DESC LIMIT"),
        grounds.TORN_LOCKS,
        is_slow=True,
    ),
)

AGAIN = on(
    grounds.ANEW,
    Mutant(
        "a message cuts the pause before the next try short",
        sql("append", "max(:now, not_before)", ":now"),
        grounds.TRIES,
        is_slow=True,
    ),
    Mutant(
        "a cancelled flow runs again",
        sql("retry_flow", "AND NOT cancel", ""),
        grounds.CANCELLED_TRIES,
        is_slow=True,
    ),
    Mutant(
        "a cancelled flow goes on anew",
        sql("continue_flow", "AND NOT cancel", ""),
        grounds.CANCELLED_ANEW,
        is_slow=True,
    ),
    Mutant(
        "the journal stays when a flow goes on anew",
        statement("forget_journal", "DELETE FROM effects WHERE flow = :flow AND 0"),
    ),
    Mutant(
        "unread messages go when a flow goes on anew",
        statement(
            "forget_messages", "DELETE FROM messages WHERE flow = :flow AND key <> '~cancel'"
        ),
    ),
    Mutant(
        "a flow that repeats itself shows old states",
        method(states, "_may_repeat", never_repeats),
        grounds.CRASHES,
    ),
    Mutant(
        "an operator changes a flow that has moved",
        sql("amendable", "AND version = :version AND owner IS NULL", "AND :version = :version"),
        is_slow=True,
    ),
    Mutant(
        "a restarted flow keeps its cancel",
        sql("restart", "cancel = 0", "cancel = cancel"),
        survives="nobody restarts a cancelled flow here; tests/stores does",
    ),
)

QUESTIONS = on(
    grounds.ANEW,
    Mutant(
        "a reply is not stored",
        sql("reply", "reply = :reply", "reply = coalesce(reply, substr(:reply, 1, 0))"),
    ),
    Mutant(
        "questions stay open when a flow goes on anew",
        method(continuing, "refuse_unanswered", nothing_now),
        is_slow=True,
    ),
    Mutant(
        "a correlation id is not registered",
        sql(
            "correlate",
            "VALUES (:type, :correlation, :flow)",
            "SELECT :type, :correlation, :flow WHERE 0",
        ),
        grounds.LETTERS,
    ),
)

DEPLOYS = on(
    grounds.DEPLOYS,
    Mutant("a former name is not looked up", method(captures, "known_as", own_name)),
    Mutant(
        "nobody asks whether an effect ran under another name",
        method(captures, "check_former_names", nothing_now),
    ),
    Mutant(
        "which way a flow goes is decided by each run",
        method(patches, "is_patched", always_patched),
    ),
    Mutant("parked flows are not mended", sql("mend", "mendable = 1", "mendable = 2")),
)

MUTANTS = (*CANCELS, *FAMILY, *PLACES, *AGAIN, *QUESTIONS, *DEPLOYS)
