"""What a run leaves half done ends with it, in silence, and costs the next run nothing."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

Bury = Callable[[asyncio.AbstractEventLoop], None]


@contextmanager
def buried() -> Iterator[Bury]:
    """Collect what is left behind, and look at nothing that was there before.

    Gives what throws away the tasks of a loop: call it when nothing of the run is needed any more.
    """
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    was_enabled = gc.isenabled()
    gc.freeze()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield _throw_tasks_away
            gc.collect()
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
        sys.unraisablehook = hook


def _throw_tasks_away(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        thrown_away: Any = task
        thrown_away._log_destroy_pending = False
        with suppress(BaseException):
            thrown_away.get_coro().close()
