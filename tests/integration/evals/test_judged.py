"""A judgement that is not whole leaves its output unscored. It is repaired once, never passed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aifeature import registry, suites
from aifeature.models import Job, Status
from aifeature.services.execution import job_run
from evals.harness import conclude, plan
from evals.harness.drive import Driver
from evals.models import Run
from evals.statistics.verdict import Decision
from workers.sandbox import compose

pytestmark = pytest.mark.usefixtures("committed", "sandbox")

ABOUT = """
[criteria]
faithful = "5: all is supported; 1: an invented fact."
complete = "5: nothing of weight is missing; 1: the outcome is missing."
"""
ANSWERS = {
    "whole": [("faithful", 5), ("complete", 5)],
    "seven": [("faithful", 7), ("complete", 5)],
    "zero": [("faithful", 0), ("complete", 5)],
    "left-out": [("faithful", 5)],
    "doubled": [("faithful", 5), ("faithful", 5)],
    "invented": [("faithful", 5), ("complete", 5), ("charm", 5)],
    "empty": [],
}


def judging(body: Mapping[str, Any], rates: float = 0.0) -> str:
    """Answer as the sandbox does, but judge each case by its id."""
    sent = json.dumps(body, ensure_ascii=False)
    found = [name for name in ANSWERS if re.search(rf"Parcel\W{name}\W", sent)]
    if "You judge the output" not in sent or not found:
        return json.dumps({"summary": "The parcel is late.", "key_facts": []})
    scores = [{"criterion": c, "reason": "So.", "score": s} for c, s in ANSWERS[found[0]]]
    return json.dumps({"scores": scores})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(compose, "answer", judging)
    file = tmp_path / suites.FILE
    (tmp_path / suites.ABOUT).write_text(ABOUT)
    cases = [
        {
            "id": name,
            "input": {"document": f"Parcel {name} is late."},
            "expected": {"keywords": {"all": ["parcel"]}, "reference": "It is late."},
        }
        for name in ANSWERS
    ]
    file.write_text("\n".join(map(json.dumps, cases)))
    feature = registry.get("summarize")
    wanted = plan.Wanted(
        feature=feature,
        candidate="v1",
        baseline=None,
        repeats=1,
        cap_micro=10_000_000,
        suite=suites.load(feature, path=file),
    )
    made = plan.start(wanted)
    made.samples.filter(arm=plan.PLAIN).delete()
    return made


def test_only_a_whole_judgement_counts(run: Run) -> None:
    driver = Driver(run)
    for _ in range(20):
        if driver.step().is_complete:
            break
        for job in Job.objects.filter(status=Status.QUEUED):
            job_run.run_feature(job.pk, worker="test")
    found = {sample.case: sample for sample in run.samples.all()}
    assert {name: sample.state for name, sample in found.items()} == {
        name: "scored" if name == "whole" else "unscored" for name in ANSWERS
    }
    assert found.pop("whole").passed
    for sample in found.values():
        assert (sample.passed, sample.score, sample.judgement) == (None, None, None)
        assert sample.problem == "The judge gave no valid judgement: output_invalid."
        assert sample.output, "a later judge can score it"
    verdict = conclude.conclude(run)
    assert verdict["decision"] == Decision.NOT_COMPARABLE
    assert verdict["unscored_share"] == pytest.approx(6 / 7)
