"""Outputs of old evaluations are deleted; scores, verdicts, costs and reports stay."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now

from aifeature.models import CheckRun
from evals import cli, report
from evals.commands import codes
from evals.harness import conclude
from evals.models import Run, Sample
from evals.retention import delete_expired
from workers import tasks

pytestmark = pytest.mark.django_db

QUOTE = "the very words of an output"
SCORES = [{"criterion": "tone", "reason": QUOTE, "score": 4}]
CASE = {
    "id": "one",
    "input": {"ticket": "The timer does not show."},
    "expected": {"exact": {"team": "support"}},
    "tags": ["typical"],
    "note": "",
}
KEPT = ("arm", "case", "repeat", "state", "passed", "score", "model", "cost_micro", "attempts")


def ran(*, days_ago: float) -> Run:
    """A run with a scored sample and one without an answer."""
    run = Run.objects.create(
        feature="triage",
        kind=Run.Kind.ALONE,
        cases={"cases": [CASE], "about": {"tags": {"typical": "A usual ticket"}}},
        suite_hash="0",
        arms={"candidate": {"version": "v1", "hash": "0", "system": "", "user": ""}},
        scorer_hash="0",
        provider="sandbox",
        repeats=2,
        estimate_micro=1,
        cap_micro=1,
        created_at=Now() - timedelta(days=days_ago),
    )
    parts = [{"scorer": name, "passed": True, "note": QUOTE} for name in ("schema", "exact")]
    common: dict[str, Any] = {"run": run, "arm": "candidate", "case": "one", "cost_micro": 7}
    Sample.objects.create(
        **common,
        repeat=1,
        state="scored",
        passed=True,
        score=0.75,
        output={"team": QUOTE},
        parts=parts,
        judgement=SCORES,
    )
    Sample.objects.create(**common, repeat=2, state="unscored", problem=QUOTE)
    conclude.conclude(run)
    return run


def stored(run: Run) -> str:
    return json.dumps([*Run.objects.filter(pk=run.pk).values(), *run.samples.values()], default=str)


def test_outputs_go_after_their_days_and_every_figure_stays() -> None:
    old, young = ran(days_ago=180.01), ran(days_ago=179.99)
    before = list(old.samples.order_by("repeat").values(*KEPT))
    assert delete_expired() == "The outputs of 1 evaluations were deleted."
    assert QUOTE not in stored(old)
    assert stored(young).count(QUOTE) == 5
    assert list(old.samples.order_by("repeat").values(*KEPT)) == before
    one, two = old.samples.order_by("repeat")
    assert [(part["scorer"], part["passed"]) for part in one.parts] == [
        ("schema", True),
        ("exact", True),
    ]
    assert one.judgement == [{"criterion": "tone", "reason": "", "score": 4}]
    assert (two.parts, two.judgement) == ([], None)
    verdict, old = old.verdict, Run.objects.get(pk=old.pk)
    assert old.verdict == verdict
    assert conclude.as_json(conclude.verdict(old))["decision"] == (verdict or {})["decision"]


def test_outputs_of_a_run_that_went_on_later_go_as_well(settings: Any) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "EVALS_RETENTION_DAYS": 30}
    run = ran(days_ago=31)
    delete_expired()
    assert delete_expired().startswith("The outputs of 0"), "nothing is left to do"
    run.samples.filter(repeat=2).update(output={"team": QUOTE})
    delete_expired()
    assert QUOTE not in stored(run)


def test_the_report_names_the_deletion_and_shows_no_false_matrix(tmp_path: Path) -> None:
    run = ran(days_ago=200)
    with_outputs = report.write(run, tmp_path / "before.html").read_text()
    delete_expired()
    run.refresh_from_db()
    without = report.write(run, tmp_path / "after.html").read_text()
    sentence = "Scores, verdict and costs are those of the run."
    assert (sentence in with_outputs, sentence in without) == (False, True)
    assert ('id="classes"' in with_outputs, 'id="classes"' in without) == (True, False)


def test_a_run_without_outputs_is_not_scored_again(capsys: pytest.CaptureFixture[str]) -> None:
    """It would count as scored by today's scorers, and none has read an output."""
    run = ran(days_ago=200)
    delete_expired()
    assert cli.main(["rescore", str(run.pk)]) == codes.WRONG
    assert "were deleted on" in capsys.readouterr().err
    assert Run.objects.get(pk=run.pk).scorer_hash == "0"


def test_the_daily_task_deletes_them() -> None:
    run = ran(days_ago=200)
    tasks.delete_old_content()
    assert QUOTE not in stored(run)
    check = CheckRun.objects.get(name="control.retention")
    assert "The outputs of 1 evaluations were deleted." in check.result
