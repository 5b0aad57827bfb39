"""`python -m evals gate` runs a feature that changed, and compares it with recorded outcomes."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from aifeature import registry, suites
from aifeature.services.promotion import subjects
from evals import base, cli, ready, report
from evals.base import Base, Recorded
from evals.commands import codes, driving
from evals.harness import plan
from evals.harness.drive import Driver, Progress
from evals.harness.pools import Part, Repeats
from evals.models import Run
from evals.statistics.data import Outcome
from tests.integration.evals.test_harness import no_report, work

pytestmark = pytest.mark.usefixtures("committed", "sandbox")

TICKETS = (
    "The timer of our quiz does not show.",
    "Please send the invoice of March again.",
    "Pupils cannot upload their homework since noon.",
    "Which browsers does the whiteboard support?",
)
ANY, NONE = ({"keywords": {"all": [entry]}} for entry in (["a", "e"], "no such word"))


class Worked(Driver):
    """A driver whose jobs run before its next step."""

    def step(self, *, until: float = math.inf) -> Progress:
        work()
        return super().step()


def recorded(version: str) -> Recorded:
    """Evidence that all cases passed with a prompt that this code does not have."""
    subject = subjects.of(registry.get("triage"), version)
    passes = (Outcome(True, 1.0),) * 3
    cases = {
        case.id: Repeats(plan.case_hash(case), case.id, case.must, case.tags, passes)
        for case in suites.load(registry.get("triage")).cases
    }
    at = datetime(2026, 11, 2, tzinfo=UTC)
    part = Part("1a2b", at, cases, 12, 0, ("claude",))
    return Recorded("triage", version, "0" * 64, subject.conditions, at, (part.run,), part)


def test_a_changed_feature_is_compared_with_the_outcomes_of_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "triage"
    folder.mkdir()
    (folder / suites.ABOUT).write_text('[tags]\ntypical = "A usual ticket"\n')
    cases = [
        {"id": f"case-{n}", "input": {"ticket": text}, "expected": ANY if n else NONE}
        for n, text in enumerate(TICKETS)
    ]
    (folder / suites.FILE).write_text("\n".join(map(json.dumps, cases)))
    monkeypatch.setattr(suites, "FOLDER", tmp_path)
    monkeypatch.setattr(ready, "missing", lambda: "")
    monkeypatch.setattr(report, "write", no_report)
    monkeypatch.setattr(driving, "Driver", Worked)
    monkeypatch.setattr(driving, "POLL_S", 0)
    known = Base("abc", (recorded("v1"),), text=lambda _: None)
    monkeypatch.setattr(base, "read", lambda _: known)
    files = [f"--junit={tmp_path / 'j.xml'}", f"--summary={tmp_path / 's.md'}"]
    command = ["gate", "triage", "--changed", "-n", "2", *files]
    assert cli.main(command) == codes.UNFINISHED, "four cases are no evidence"
    run = Run.objects.get()
    assert (run.kind, run.samples.filter(arm=plan.CANDIDATE).count()) == ("alone", 8)
    shown = capsys.readouterr().out
    assert "with the recorded outcomes of v1" in shown
    assert "Not comparable: there is no verdict on triage v2 against v1.\n  " in shown
    summary = (tmp_path / "s.md").read_text()
    assert "| `triage v2` | **not comparable** | 75.0% (" in summary
    assert "| 100.0% (" in summary
    assert "| -25.0 (" in summary
    assert "| `case-0` | 3 of 3 | 0 of 2 | `keywords: " in summary
    tests = {test.get("name"): test for test in ET.parse(tmp_path / "j.xml").iter("testcase")}  # noqa: S314 (our own document)
    failed = {name for name, test in tests.items() if test.find("failure") is not None}
    assert failed == {"verdict", "case-0"}
    verdict = tests["verdict"].findtext("failure") or ""
    assert "not comparable" not in verdict
    assert "50" in verdict
