"""Every program of the tutorial prints what the tutorial shows, killed where it shows a kill."""

from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.docs.transcripts import Transcript, programs_of, transcripts_of
from tests.programs import launcher

TUTORIAL = ROOT / "docs" / "tutorial.md"


@pytest.mark.crash
@pytest.mark.parametrize("transcript", transcripts_of(TUTORIAL), ids=str)
def test_program_prints_what_the_tutorial_shows(transcript: Transcript, tmp_path: Path) -> None:
    with launcher(tmp_path) as start:
        assert transcript.play(start) == transcript.runs


def test_every_program_of_the_tutorial_is_shown_with_its_output() -> None:
    shown = [transcript.file for transcript in transcripts_of(TUTORIAL)]
    assert shown == programs_of(TUTORIAL)
    assert len(shown) >= 12
