"""What a run was measured on: machine, server, versions; without naming the machine."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.rivals.environments import ABSURD, DBOS, OURS

CPU = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Conditions:
    """Where, when, and with what."""

    machine: str
    python: str
    server: dict[str, str]
    versions: dict[str, str]
    load: str
    date: str


def conditions_now(settings: dict[str, str], home: Path, load_before: float) -> Conditions:
    """Say what holds at the end of a run."""
    return Conditions(
        machine=f"{os.cpu_count()} CPUs ({_cpu()}), {platform.system()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        server=settings,
        versions={
            "Unbroken": OURS.versions(home),
            "DBOS": DBOS.versions(home),
            "Absurd": ABSURD.versions(home),
        },
        load=f"{load_before:.1f} before, {os.getloadavg()[2]:.1f} at the end, {_nice()}",
        date=f"{datetime.now(UTC):%Y-%m-%d}",
    )


def _nice() -> str:
    return f"every program at niceness {os.getpriority(os.PRIO_PROCESS, 0)}"


def _cpu() -> str:
    if CPU.exists():
        for line in CPU.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or "unknown"
