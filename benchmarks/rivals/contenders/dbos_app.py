# pyright: reportMissingImports=false
"""How the programs of DBOS connect: with its defaults, as its documentation does.

A pool of 20 connections, LISTEN/NOTIFY on, the default
serializer, no admin server, no tracing. Each process has an executor id of its own: with the
default one, the second process takes the first one's workflows for its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from dbos import DBOS, DBOSConfig


@contextmanager
def running(url: str) -> Iterator[None]:
    """Launch DBOS, and destroy it afterwards."""
    config: DBOSConfig = {
        "name": "rivals",
        "system_database_url": url,
        "application_version": "1",
        "executor_id": str(os.getpid()),
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()
