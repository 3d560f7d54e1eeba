"""An environment for each rival, so that nobody's dependencies choose another one's versions."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Its threads are never given back (an error of this one release), which DBOS's coroutines run into.
LEAKS_THREADS = (3, 12, 1)


@dataclass(frozen=True)
class Environment:
    """What is installed where."""

    name: str
    packages: tuple[str, ...]

    def python(self, home: Path) -> Path:
        """Give the interpreter of this environment."""
        return home / self.name / "bin" / "python" if self.packages else Path(sys.executable)

    def script(self, home: Path, name: str) -> Path:
        """Give a command that one of its packages brings."""
        return home / self.name / "bin" / name

    def install(self, home: Path) -> None:
        """Make the environment, unless it is there in these versions."""
        stamp = home / self.name / ".installed"
        wanted = "\n".join(self.packages)
        if not self.packages or (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
            return
        print(f"installing {', '.join(self.packages)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home / self.name], check=True)
        quietly = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([self.python(home), *quietly, *self.packages], check=True)
        stamp.write_text(wanted, encoding="utf-8")

    def versions(self, home: Path) -> str:
        """Say what is installed, drivers included."""
        shown = {"dbos", "absurd-sdk", "psycopg", "sqlalchemy", "asyncpg"}
        listed = subprocess.run(
            [self.python(home), "-m", "pip", "freeze", "--disable-pip-version-check"],
            check=True,
            capture_output=True,
            text=True,
        )
        pairs = (line.split("==") for line in listed.stdout.splitlines() if "==" in line)
        return ", ".join(f"{name} {version}" for name, version in pairs if name.lower() in shown)


OURS = Environment("ours", ())
DBOS = Environment("dbos", ("dbos==3.4.0",))
ABSURD = Environment("absurd", ("absurd-sdk==0.5.1", "absurdctl==0.5.1"))


def check_python() -> None:
    """Refuse an interpreter on which a rival would be measured at its worst."""
    if sys.version_info[:3] == LEAKS_THREADS:
        sys.exit("Python 3.12.1 never gives threads back: run this with 3.11 or 3.13")
