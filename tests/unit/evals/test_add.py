"""`python -m evals add` writes a case with each of its properties."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aifeature import registry, suites
from evals import cli
from evals.commands import codes

EXPECTED = ["--expected", '{"language": "en"}']


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty suite of `triage`."""
    monkeypatch.setattr(suites, "FOLDER", tmp_path)
    folder = tmp_path / "triage"
    folder.mkdir()
    (folder / suites.ABOUT).write_text('[tags]\nen = "English"\n')
    (folder / suites.FILE).touch()
    return folder / suites.FILE


@pytest.mark.usefixtures("file")
def test_a_case_is_added_with_all_that_it_may_have() -> None:
    given = {"ticket": "The timer of our quiz stopped."}
    common = ["--input", json.dumps(given), *EXPECTED, "--tag", "en"]
    marks = ["--group", "timers", "--must", "--held-out", "--note", "It is English."]
    assert cli.main(["add", "triage", "--id", "timer-1", *common, *marks]) == 0
    (case,) = suites.load(registry.get("triage")).cases
    assert (case.input, case.tags, case.note) == (given, ("en",), "It is English.")
    assert (case.group, case.must, case.held_out) == ("timers", True, True)
    other = [*common, "--group", "timers"]
    code = cli.main(["add", "triage", "--id", "timer-2", *other])
    assert code == codes.WRONG, "held out as a half"
    assert len(suites.load(registry.get("triage")).cases) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('{"ticket": "half of \\ud83d"}', "a lone surrogate"),
        ('{"ticket": "one", "ticket": "two"}', "--input is no JSON of a case: 'ticket' is given"),
        ('{"ticket": }', "--input is no JSON of a case: Expecting value"),
        ('{"text": "one"}', "cases.jsonl:1: input.ticket: "),
    ],
)
def test_a_wrong_case_is_named_and_leaves_the_folder_as_it_was(
    file: Path, capsys: pytest.CaptureFixture[str], given: str, words: str
) -> None:
    before = {each.name: each.read_bytes() for each in file.parent.iterdir()}
    command = ["add", "triage", "--id", "timer-1", "--input", given, *EXPECTED]
    assert cli.main(command) == codes.WRONG
    shown = capsys.readouterr().err
    assert words in shown
    assert "draft" not in shown
    assert {each.name: each.read_bytes() for each in file.parent.iterdir()} == before


def test_a_missing_suite_is_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.unlink()
    given = ["--id", "timer-1", "--input", '{"ticket": "one"}', *EXPECTED]
    assert cli.main(["add", "triage", *given]) == codes.WRONG
    assert capsys.readouterr().err == f"{file} cannot be read: No such file or directory.\n"
