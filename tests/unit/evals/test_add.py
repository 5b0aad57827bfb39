"""`python -m evals add` writes a case with each of its properties."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aifeature import registry, suites
from evals import cli


def test_a_case_is_added_with_all_that_it_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suites, "FOLDER", tmp_path)
    folder = tmp_path / "triage"
    folder.mkdir()
    (folder / suites.ABOUT).write_text('[tags]\nen = "English"\n')
    (folder / suites.FILE).touch()
    given = {"ticket": "The timer of our quiz stopped."}
    common = ["--input", json.dumps(given), "--expected", '{"language": "en"}', "--tag", "en"]
    marks = ["--group", "timers", "--must", "--held-out", "--note", "It is English."]
    assert cli.main(["add", "triage", "--id", "timer-1", *common, *marks]) == 0
    (case,) = suites.load(registry.get("triage")).cases
    assert (case.input, case.tags, case.note) == (given, ("en",), "It is English.")
    assert (case.group, case.must, case.held_out) == ("timers", True, True)
    other = [*common, "--group", "timers"]
    assert cli.main(["add", "triage", "--id", "timer-2", *other]) == cli.WRONG, "held out as a half"
    assert len(suites.load(registry.get("triage")).cases) == 1
