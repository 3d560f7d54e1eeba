"""Tests that a page names: `flows/test_x.py::test_y`, below `tests`."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def named_in(text: str) -> list[tuple[str, str]]:
    """Give module and test of each link, once, in order."""
    return sorted(set(NAMED.findall(text)))


def defined_in(module: Path) -> set[str]:
    """Give the functions of a module, without importing it."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


def absent(named: list[tuple[str, str]]) -> list[str]:
    """Give the links that lead nowhere."""
    modules = {module: TESTS / module for module, _ in named}
    defined = {m: defined_in(file) if file.exists() else set() for m, file in modules.items()}
    return [f"{module}::{name}" for module, name in named if name not in defined[module]]
