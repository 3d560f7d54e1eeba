"""What a flow was about when its process died, read from that process's memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unbroken.model.records import Kind

OF_KEYS = {
    "messages": "a stream",
    "question": "a question",
    "lock": "a lock",
    "semaphore": "a lock",
    "sleep": "a sleep",
}


def kinds_of_wait(incarnation: Any) -> Iterator[str]:
    """Say what the flow waited for, or did."""
    waits = [wait for wait in incarnation._waits or () if not wait.future.done()]
    if len(waits) > 1:
        yield "several branches"
    elif waits:
        yield _of_one(waits[0], _key_awaited(incarnation.task), incarnation.effects)
    if not incarnation.is_blocked:
        effects = incarnation.effects
        begun = [key for key, one in effects.items() if one.kind == Kind.BEGUN]
        once = any(key.removesuffix(".begun") not in effects for key in begun)
        yield "an effect that may begin once" if once else "an effect"


def _of_one(wait: Any, key: str, effects: dict[str, Any]) -> str:
    name = key.rpartition("/")[2].partition(":")[0].partition("#")[0]
    if name == "message":
        return "a message" if wait.deadline is None else "a message with a limit"
    if any(one.startswith("~") for one in wait.names or ()) and name != "lock":
        return "a child"
    if f"{key}.1" in effects:
        return "a pause before a retry"
    return OF_KEYS.get(name, "several branches")


def _key_awaited(task: Any) -> str:
    """Give the key of the effect at which a task stands: the innermost that its frames know."""
    key, awaited = "", task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None)
        found = None if frame is None else frame.f_locals.get("key")
        key = found if isinstance(found, str) else key
        awaited = getattr(awaited, "cr_await", None)
    return key
