"""Measures in turns, each turn in a fresh process: ours, raw, ours, raw, ...

The machine is noisy and its disk more so; what stands side by side in time meets the same noise.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import shutil
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

PAIRS = 7
QUICK_PAIRS = 2


class Plan:
    """How large a run is, and where its databases lie."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.quick = quick
        self.pairs = QUICK_PAIRS if quick else PAIRS
        self._folder = folder
        self._turns = 0

    def size(self, full: int, quick: int) -> int:
        """Choose a size."""
        return quick if self.quick else full

    def turns(self) -> Iterator[Path]:
        """Give an empty folder for each pair of turns."""
        for _ in range(self.pairs):
            with self.turn() as folder:
                yield folder

    @contextmanager
    def turn(self) -> Iterator[Path]:
        """Give an empty folder, and remove it afterwards."""
        self._turns += 1
        folder = self._folder / str(self._turns)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def in_fresh_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function of a module in a process of its own."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh, initializer=_be_quiet) as process:
        return process.submit(function, *args, **kwargs).result()


def run_in_fresh_process(
    function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a coroutine function of a module in a process of its own."""
    return in_fresh_process(_run, function, args, kwargs)


def _run(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return asyncio.run(function(*args, **kwargs))


def _be_quiet() -> None:
    # The warning about the version of SQLite would stand there once for each turn.
    logging.getLogger("unbroken").setLevel(logging.ERROR)
