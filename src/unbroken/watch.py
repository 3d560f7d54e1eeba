"""Reports an event loop that does not turn: blocking code in an `async def`.

Blocking code costs no ownership, since the store beats by its own means, but it holds up every flow
of the process. A thread looks on and names the line.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Sequence
from types import FrameType

from unbroken.engine.events import Event

INTERVAL = 1.0
REPORT_AGAIN_AFTER = 60
LIBRARIES = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
LOOP = asyncio.events.__file__


class LoopWatch:
    """Asks the loop once a second to answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, emit: Callable[[Event], None]) -> None:
        self._loop = loop
        self._emit = emit
        self._loop_thread = threading.get_ident()
        self._answered = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="unbroken-watch", daemon=True)

    def start(self) -> None:
        """Begin to look on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking on."""
        self._stopped.set()

    def _run(self) -> None:
        silent_for = 0
        while not self._stopped.is_set():
            if silent_for == 0:
                self._answered.clear()
                try:
                    self._loop.call_soon_threadsafe(self._answered.set)
                except RuntimeError:
                    return
            if self._answered.wait(INTERVAL):
                silent_for = 0
                self._stopped.wait(INTERVAL)
                continue
            silent_for += 1
            if silent_for == 1 or silent_for % REPORT_AGAIN_AFTER == 0:
                self._report(silent_for)

    def _report(self, seconds: int) -> None:
        frames: dict[int, FrameType] = getattr(sys, "_current_frames")()  # noqa: B009  CPython's only way
        frame = frames.get(self._loop_thread)
        where = place_of(traceback.extract_stack(frame) if frame is not None else ())
        task = asyncio.current_task(self._loop)
        who = task.get_name() if task is not None else "no task"
        text = (
            f"the event loop has not turned for {seconds} s: {who} blocks it at {where}. Use "
            "unbroken.sleep, or a plain function in capture(…), which runs in a thread"
        )
        level = logging.WARNING if seconds < REPORT_AGAIN_AFTER else logging.ERROR
        self._emit(Event("loop.blocked", text, level=level))


def place_of(stack: Sequence[traceback.FrameSummary]) -> str:
    """Name the innermost line that is no library's, in what the event loop called last."""
    called = 0
    for at, line in enumerate(stack):
        if line.name == "_run" and line.filename == LOOP:
            called = at + 1
    inside = stack[called:] or stack
    own = [line for line in inside if not line.filename.startswith(LIBRARIES)]
    if not inside:
        return "an unknown line"
    line = (own or inside)[-1]
    return f"{line.filename}:{line.lineno} in {line.name}"
