"""Programs on a page with what a reader sees on the terminal, played again line by line.

    ```text
    $ python first_order.py
    packing a book
    Killed                       # kill -9, now
    $ python first_order.py
    …
    ```

`Killed` ends the process with SIGKILL as soon as it has printed the lines before, or, if the page
says `while it sleeps`, as soon as that is recorded; any other run must end by itself and well. What
follows three blanks and a `#` is said to the reader.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import Block, blocks_of
from tests.programs import Launcher

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
INSTANT = re.compile(r"\b\d{16}\b")
SHOWN = re.compile(r"^```text\n(\$ python .*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = "$ python "
KILLED = "Killed"
ASLEEP = "# while it sleeps"


@dataclass(frozen=True)
class Run:
    """One start of a program: its arguments, what it prints, and whether it is killed then."""

    arguments: tuple[str, ...]
    lines: tuple[str, ...]
    is_killed: bool
    sleeps: bool = False


@dataclass(frozen=True)
class Transcript:
    """A program and its runs, as a page shows them one after the other."""

    file: str
    source: str
    runs: tuple[Run, ...]

    def __str__(self) -> str:
        return self.file

    def play(self, start: Launcher) -> tuple[Run, ...]:
        """Do what the reader does, in the launcher's folder; give what was to be seen."""
        program = start.folder / self.file
        program.write_text(self.source, encoding="utf-8")
        return tuple(_play(start, program, run) for run in self.runs)


def transcripts_of(page: Path) -> list[Transcript]:
    """Give each program of the page that is followed by what it prints."""
    text = page.read_text(encoding="utf-8")
    programs = {_file_of(block): block.source for block in blocks_of(page) if block.is_program}
    found: list[Transcript] = []
    for shown in SHOWN.findall(text):
        file = shown.splitlines()[0].removeprefix(COMMAND).split()[0]
        found.append(Transcript(file, programs[file], tuple(_runs(shown))))
    return found


def programs_of(page: Path) -> list[str]:
    """Give the file names of the page's programs, as their first lines say."""
    return [_file_of(block) for block in blocks_of(page) if block.is_program]


def _file_of(block: Block) -> str:
    named = re.match(r'"""(\w+\.py): ', block.source)
    return named.group(1) if named else str(block)


def _runs(shown: str) -> Iterator[Run]:
    _, *parts = shown.split(COMMAND)
    for part in parts:
        command, *lines = (_said(line) for line in part.splitlines())
        is_killed = lines[-1:] == [KILLED]
        if is_killed:
            lines.pop()
        sleeps = ASLEEP in part
        yield Run(tuple(command.split()[1:]), tuple(_masked(lines)), is_killed, sleeps)


def _said(line: str) -> str:
    return line.split("   #", maxsplit=1)[0].rstrip()


def _masked(lines: list[str]) -> list[str]:
    """Leave out what differs from run to run, and the warning of old versions of SQLite."""
    seen = (line for line in lines if "SQLite" not in line)
    return [INSTANT.sub("<instant>", UUID.sub("<id>", line)) for line in seen]


def _play(start: Launcher, file: Path, run: Run) -> Run:
    program = start(file, *run.arguments)
    if not run.is_killed:
        return Run(run.arguments, tuple(_masked(program.finish())), is_killed=False)
    if run.lines:
        program.wait_until(lambda lines: len(_masked(lines)) >= len(run.lines))
    if run.sleeps:
        start.wait_until_recorded(f"{file.stem}.db", "sleep")
    program.kill()
    return Run(run.arguments, tuple(_masked(program.lines)), is_killed=True, sleeps=run.sleeps)
