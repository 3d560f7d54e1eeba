"""The pages that users read, and the Python in them."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tests.programs import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block of Python on a page."""

    page: Path
    number: int
    source: str

    @property
    def is_program(self) -> bool:
        return 'if __name__ == "__main__":' in self.source

    def __str__(self) -> str:
        return f"{self.page.name}-{self.number}"

    @contextmanager
    def imported(self) -> Iterator[ModuleType]:
        """Run the block as a module that can be found by its name, as long as it is needed."""
        name = f"page_{self.page.stem.replace('-', '_')}_{self.number}"
        module = sys.modules[name] = ModuleType(name)
        try:
            exec(compile(self.source, str(self), "exec"), vars(module))
            yield module
        finally:
            del sys.modules[name]


def blocks_of(page: Path) -> list[Block]:
    sources = FENCE.findall(page.read_text(encoding="utf-8"))
    return [Block(page, number, source) for number, source in enumerate(sources, 1)]


def blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page)]
