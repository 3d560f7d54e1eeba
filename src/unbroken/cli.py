"""The command `unbroken`: what a person asks of a store, without an app."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from importlib.metadata import version

from unbroken.model.clock import SystemClock
from unbroken.model.errors import UnbrokenError
from unbroken.stores import open_store

FINE, WARNED, FAILED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0: fine, 1: there are warnings, 2: it could not be done, told on stderr."""
    asked = _parser().parse_args(arguments)
    try:
        if asked.command == "schema":
            print(open_store(asked.store, clock=SystemClock()).migrations())
            return FINE
        return asyncio.run(_doctor(asked.store))
    except UnbrokenError as error:
        print(f"unbroken {asked.command}: {type(error).__name__}: {error}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="unbroken", description="Durable execution for Python.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, told in (
        ("doctor", "say what a store is, what it survives, and what is wrong with it"),
        ("schema", "print the SQL of all migrations of a store's schema"),
    ):
        command = commands.add_parser(name, help=told, description=told)
        command.add_argument("--store", required=True, metavar="URL", help="as for Unbroken(url)")
        if name == "schema":
            command.add_argument("--sql", action="store_true", required=True, help="print as SQL")
    return parser


async def _doctor(url: str) -> int:
    found = await open_store(url, clock=SystemClock()).examine()
    rows = [("unbroken", version("unbroken")), ("python", sys.version.partition(" ")[0])]
    rows += [(finding.name, finding.value) for finding in found]
    width = max(len(name) for name, _ in rows) + 2
    for name, value in rows:
        print(f"{name:<{width}}{value}")
    warnings = [(finding.name, finding.warning) for finding in found if finding.warning]
    for name, warning in warnings:
        print(f"WARNING: {name}: {warning}")
    return WARNED if warnings else FINE
