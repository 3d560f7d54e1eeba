"""The flows that are killed at each of their store operations: all modules beside this one.

A module gives `CASES`, and `ORPHANS`: flows whose first process has died already at a point; who
takes them over is killed too.
"""

from importlib import import_module
from pkgutil import iter_modules

from tests.crash.cases.case import Asking, Case, Sent

_MODULES = [import_module(f"{__name__}.{one.name}") for one in iter_modules(__path__)]

CASES: dict[str, Case] = {
    name: case for one in _MODULES for name, case in getattr(one, "CASES", {}).items()
}
ORPHANS: dict[str, str] = {
    name: point for one in _MODULES for name, point in getattr(one, "ORPHANS", {}).items()
}

__all__ = ["CASES", "ORPHANS", "Asking", "Case", "Sent"]
