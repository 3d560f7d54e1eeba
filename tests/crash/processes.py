"""Children forked from a preloaded parent that has no thread and no event loop.

A fork costs a millisecond, a fresh interpreter half a second. A child ends with `os._exit`, so that
nothing of its parent runs twice.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path


def fork(run: Callable[[], None], log: Path, environment: dict[str, str]) -> int:
    """Run something in a child; what it prints goes into the log. Exit code 1 if it raises."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _become(log, environment)
        run()
        code = 0
    except BaseException:  # a child must never return into its parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become(log: Path, environment: dict[str, str]) -> None:
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_DFL)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.update(environment)


def ended(pid: int) -> int | None:
    """Give how a child ended: its exit code, or minus the signal; None if it still runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def wait(pid: int, seconds: float) -> int:
    """Wait for a child's end; one that takes too long is killed and raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while (code := ended(pid)) is None:
        if time.monotonic() > deadline:
            kill(pid)
            raise TimeoutError(f"process {pid} did not end within {seconds:g} s")
        time.sleep(0.002)
    return code


def kill(pid: int) -> None:
    """End a child by SIGKILL and collect it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
