"""What the way an incarnation ends means for the store: pure decisions, `executor.py` acts on them.

A flow that failed may be run again, as it declared: then the effects whose error ended it are
forgotten, and what was cut, and nothing else is. Which ones these are shows in the error: itself,
its cause, or, when it has none, what it was raised beside.
"""

from __future__ import annotations

from collections.abc import Iterable

from unbroken.engine.completions import message_of
from unbroken.engine.consumed import positions_of
from unbroken.engine.flow_type import FlowType
from unbroken.engine.incarnation import Incarnation
from unbroken.engine.outcomes import (
    Cancelled,
    Continued,
    Ending,
    Failed,
    Lost,
    Parked,
    Released,
    Retried,
    Succeeded,
    Suspended,
)
from unbroken.engine.places import void_entries
from unbroken.model.clock import MICROSECOND
from unbroken.model.errors import FlowCancelled, FlowTimedOut, UsageError
from unbroken.model.records import Kind, Outcome, Status
from unbroken.stores.batch import Change, Continue, End, Release, Retry, Suspend


def change_of(incarnation: Incarnation, ending: Ending, code: int) -> Change:
    """Give the change of the flow's row that says how the incarnation ended."""
    flow, number = incarnation.flow, incarnation.number
    frees = has_places(incarnation)
    match ending:
        case Suspended(due_at=due_at):
            return Suspend(flow, number, incarnation.inbox.counter, due_at)
        case Released():
            return Release(flow, number)
        case Retried(failed=failed, due_at=due_at):
            forgets = failed.failed_at
            restores = _consumed_beneath(incarnation, forgets)
            return Retry(flow, number, failed.error, due_at, forgets, frees, restores)
        case Continued(param=param):
            return Continue(flow, number, param, code, frees)
        case Succeeded() | Failed() | Cancelled() | Parked():
            outcome = outcome_of(incarnation, ending)
            told = None if outcome.status == Status.PARKED else message_of(outcome)
            forgets = _forgotten_by_restart(incarnation, ending)
            return End(
                flow,
                number,
                outcome.status,
                outcome.body,
                outcome.type,
                outcome.error,
                incarnation.parents if told else (),
                told,
                forgets,
                isinstance(ending, Parked) and ending.mendable,
                frees and not isinstance(ending, Parked),
                _consumed_beneath(incarnation, forgets),
            )
        case Lost():
            msg = "a lost incarnation writes nothing"
            raise AssertionError(msg)


def _forgotten_by_restart(
    incarnation: Incarnation, ending: Succeeded | Failed | Cancelled | Parked
) -> tuple[str, ...]:
    match ending:
        case Failed() | Cancelled():
            return ending.failed_at
        case Succeeded():
            return void_entries(incarnation) if has_places(incarnation) else ()
        case Parked():
            return ()


def outcome_of(
    incarnation: Incarnation, ending: Succeeded | Failed | Cancelled | Parked
) -> Outcome:
    """Give what everyone learns who waits for the flow."""
    match ending:
        case Succeeded(body=body, type=type_name):
            return Outcome(incarnation.flow, Status.DONE, body, type_name)
        case Failed(error=error):
            return Outcome(incarnation.flow, Status.FAILED, error=error)
        case Cancelled(timed_out=timed_out):
            error = FlowTimedOut(incarnation.flow.id) if timed_out else None
            text = incarnation.services.serializer.encode_exception(error) if error else None
            return Outcome(incarnation.flow, Status.CANCELLED, error=text)
        case Parked(error=error):
            return Outcome(incarnation.flow, Status.PARKED, error=error)


def has_places(incarnation: Incarnation) -> bool:
    """Whether the flow may stand in the queue of a lock or semaphore."""
    return any(effect.kind == Kind.LOCK for effect in incarnation.effects.values())


def cancelled(incarnation: Incarnation) -> Cancelled:
    """Give the ending of a flow in which a cancel was raised, or that was asked too late for it."""
    timed_out = isinstance(incarnation.cancel_error(), FlowTimedOut)
    return Cancelled(timed_out, _to_forget(incarnation, None))


def is_own_cancel(incarnation: Incarnation, error: BaseException) -> bool:
    """Whether an error is the flow's own cancel and nothing else, alone or in a group."""
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    if inner:
        return all(is_own_cancel(incarnation, one) for one in inner)
    return (
        incarnation.cancelled_at is not None
        and isinstance(error, FlowCancelled)
        and error.flow_id == incarnation.flow.id
    )


def failed(incarnation: Incarnation, error: BaseException) -> Failed:
    """Encode how a flow failed."""
    failure = error if isinstance(error, Exception) else _as_failure(error)
    text = incarnation.services.serializer.encode_exception(failure)
    return Failed(text, error, _to_forget(incarnation, error))


def again(incarnation: Incarnation, flow_type: FlowType, ending: Failed) -> Ending:
    """Say whether a failed flow runs again, as it declared; never one that was cancelled."""
    retry, error = flow_type.retry, ending.live
    if retry is None or not isinstance(error, Exception) or incarnation.cancelled_at is not None:
        return ending
    if any(incarnation.begins_once(key) for key in _culprits(incarnation, error)):
        return ending  # it would fail in the same way: what may begin once is not begun again
    services = incarnation.services
    try:
        delay = retry.next_delay(error, incarnation.failures + 1, services.random.fraction())
    except Exception as wrong:  # noqa: BLE001  `retry_if` and `delay` are the user's code
        return failed(incarnation, wrong)
    if delay is None:
        return ending
    due_at = services.replica.latest() + delay // MICROSECOND
    limit = incarnation.limit  # a flow whose time is over meanwhile is cancelled then
    return Retried(ending, due_at if limit is None else min(due_at, limit.instant))


def _to_forget(incarnation: Incarnation, error: BaseException | None) -> tuple[str, ...]:
    """Give what another run must find gone: what failed, all that was cut, and lost places.

    What was cut would wait for a cancel that does not come again; places in queues are freed, so
    they have to be taken again. What may begin only once stays.
    """
    guilty = [key for key in _culprits(incarnation, error) if not incarnation.begins_once(key)]
    cut = [key for key, effect in incarnation.effects.items() if effect.kind == Kind.CUT]
    return tuple(dict.fromkeys((*guilty, *cut, *void_entries(incarnation))))


def _consumed_beneath(incarnation: Incarnation, keys: tuple[str, ...]) -> tuple[int, ...]:
    """Give the messages that were consumed by what is forgotten, but for answered questions.

    A saga that begins anew waits for them again, and nobody sends them a second time.
    """
    if not keys:
        return ()
    beneath = tuple(f"{key}{mark}" for key in keys for mark in "./")
    gone = [
        effect
        for key, effect in incarnation.effects.items()
        if key in keys or key.startswith(beneath)
    ]
    found = {position for effect in gone for position in positions_of(effect)}
    found.difference_update(one.digest for one in gone if one.kind == Kind.REPLY)
    return tuple(sorted(found))


def _culprits(
    incarnation: Incarnation, error: BaseException | None, level: int = 0
) -> Iterable[str]:
    if error is None or level > MOST_LEVELS:
        return ()
    own = [keys for raised, keys in incarnation.culprits or () if raised is error]
    if own:
        return own[-1]
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    if inner:
        return [key for one in inner for key in _culprits(incarnation, one, level + 1)]
    beside = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return _culprits(incarnation, beside, level + 1)


MOST_LEVELS = 20


def _as_failure(error: BaseException) -> UsageError:
    name = type(error).__name__
    return UsageError(
        f"the flow's own code raised {name}({error}), which is no Exception: raise an error of "
        "your own"
    )
