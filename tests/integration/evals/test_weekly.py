"""A weekly run acts only on a confirmed regression, and never ends in silence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.db.models.functions import Now

from aifeature import registry, suites
from aifeature.models import (
    Alert,
    ControlChange,
    Evidence,
    FeatureControl,
    TickSlot,
)
from aifeature.services import controls
from aifeature.services.promotion import activations
from aifeature.spec import Feature
from evals.harness import conclude, plan, pools, proof, repeats
from evals.models import Run, Sample, WeeklyRun
from evals.statistics.rules import DEFAULT
from evals.weekly import baseline, rows, steps, ticks
from tests import proof as made

pytestmark = pytest.mark.django_db

SLUG = "summarize"
FEATURE = registry.get(SLUG)
CASES = 100
NEVER = 0.0
"""A moment that has passed: a step begins no sample."""


def write_suite(
    folder: Path, slug: str = SLUG, *, field: str = "document", changed: int = 0
) -> None:
    """Write a suite of a hundred cases, of which some have another text."""
    (folder / slug).mkdir(parents=True, exist_ok=True)
    (folder / slug / "suite.toml").write_text('[tags]\ntypical = "A usual text"\n')
    cases = [
        {
            "id": f"text-{n:03}",
            "input": {field: f"Lesson {n} {'moves' if n < changed else 'begins'} on Monday."},
            "expected": {"keywords": {"any": ["Monday"]}},
            "tags": ["typical"],
        }
        for n in range(CASES)
    ]
    (folder / slug / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))


@pytest.fixture(autouse=True)
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite of its own. Simulations, which decide nothing here, are left out."""
    monkeypatch.setattr(suites, "FOLDER", tmp_path)
    monkeypatch.setattr(conclude, "gate", lambda _: None)
    monkeypatch.setattr(repeats, "choose", lambda *_: repeats.Choice(1, "Of this test."))
    write_suite(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def live(suite: Path) -> Evidence:
    """Users get v4, with evidence in which 90 of 100 cases pass."""
    evaluated(FEATURE, "v4", 90)
    row = activations.activate(SLUG, "v4", reason="test", check_name="test")
    controls.change(SLUG, {"stage": "everyone"}, reason="test", check_name="test")
    assert row.evidence
    return row.evidence


def evaluated(feature: Feature, version: str, passing: int) -> Evidence | None:
    """Return the evidence of a run of 100 cases, of which `passing` pass."""
    run = plan.start(
        plan.Wanted(
            feature=feature,
            candidate=version,
            baseline=None,
            repeats=1,
            cap_micro=10_000_000,
            suite=suites.load(feature),
        )
    )
    answer(run, passing)
    return proof.conclude_run(run)


def answer(run: Run, passing: int, *, model: str = "haiku-1", unscored: int = 0) -> None:
    """Let the first cases of a run pass and the others fail, without a call."""
    all_ = run.samples.all()
    all_.update(state="scored", model=model, repaired=False, passed=False, score=0.0)
    all_.filter(case__lt=f"text-{passing:03}").update(passed=True, score=1.0)
    lost = all_.filter(arm=plan.CANDIDATE, case__gte=f"text-{CASES - unscored:03}")
    lost.update(state="unscored", passed=None, score=None)


def tick(weekly: WeeklyRun) -> WeeklyRun:
    ticks.advance(weekly, steps, until=NEVER)
    weekly.refresh_from_db()
    return weekly


def begun(feature: Feature = FEATURE) -> WeeklyRun:
    (weekly,) = rows.plan([feature])
    return tick(weekly)


def answered(weekly: WeeklyRun, passing: int, **values: Any) -> WeeklyRun:
    """Let the run that is under way be complete, and conclude it."""
    run = weekly.current
    assert run
    answer(run, passing, **values)
    return tick(weekly)


def confirmed(passing: int = 70) -> WeeklyRun:
    weekly = answered(begun(), passing)
    assert weekly.state == "confirming"
    assert not Alert.objects.filter(kind=rows.REGRESSION).exists()
    return answered(tick(weekly), passing)


def alert(kind: str) -> Alert:
    return Alert.objects.get(kind=kind, subject=SLUG, closed_at=None)


def choose(action: str) -> None:
    controls.change(SLUG, {"regression_action": action}, reason="test", check_name="test")


def test_a_slot_is_planned_once_and_the_next_day_again() -> None:
    FeatureControl.objects.update_or_create(feature="triage", defaults={"stage": "staff"})
    assert "summarize" in ticks.begin().result
    WeeklyRun.objects.update(state="passed", ended_at=Now())
    assert "already" in ticks.begin().result
    planned = WeeklyRun.objects.order_by("feature").values_list("feature", flat=True)
    assert [*planned] == ["moderation", SLUG], "triage is open to staff only"
    TickSlot.objects.all().delete()
    rows.plan([FEATURE], slot=WeeklyRun.objects.get(feature=SLUG).slot)
    assert WeeklyRun.objects.count() == 2, "a row for each day, if a slot is lost too"
    WeeklyRun.objects.update(slot="2026-11-02")
    ticks.begin()
    assert WeeklyRun.objects.filter(state="open").count() == 2


def test_moderation_is_measured_by_its_first_evidence_while_users_need_it(suite: Path) -> None:
    moderation = registry.get("moderation")
    write_suite(suite, "moderation", field="text")
    first = evaluated(moderation, "v1", 90)
    weekly = answered(begun(moderation), 90)
    assert (weekly.state, weekly.baseline_evidence) == ("passed", first and first.pk)
    weekly = answered(tick(answered(begun(moderation), 70)), 70)
    assert (weekly.state, weekly.baseline_evidence) == ("confirmed", first and first.pk)
    assert not Evidence.objects.filter(feature="moderation").latest("created_at").passed
    controls.change(SLUG, {"stage": "staff"}, reason="test", check_name="test")
    assert rows.live_features() == []


def test_a_run_survives_a_killed_driver_and_is_decided_once(live: Evidence) -> None:
    stale, weekly = begun(), WeeklyRun.objects.get()
    assert Run.objects.count() == 2
    assert weekly.run
    tick(weekly)
    assert Run.objects.count() == 2
    late = WeeklyRun.objects.get()
    answered(weekly, 90)
    assert (weekly.state, weekly.baseline_evidence) == ("passed", live.pk)
    late.state = "open"  # another process, which has read the row before
    part = pools.part_of(weekly.run, weekly.prompt_hash)
    base = baseline.of(weekly, part)
    verdict = steps._verdict(weekly.run, part, base, DEFAULT)
    steps._settle(stale, weekly.run, part, base, verdict)
    found = Evidence.objects.get(origin="weekly")
    assert (found.pk, found.passed) == (weekly.evidence, True)


def test_an_alarm_that_is_not_confirmed_leaves_the_verdict_of_the_fresh_run() -> None:
    weekly = answered(begun(), 70)
    assert "An alarm: The candidate is worse" in weekly.note
    assert not Evidence.objects.filter(origin="weekly").exists()
    weekly = answered(tick(weekly), 90)
    assert weekly.state == "unconfirmed"
    assert weekly.run_id != weekly.confirmation_id
    found = Evidence.objects.get(origin="weekly")
    assert len(found.runs) == 3, "all runs are known"
    assert (found.passed, found.verdict["candidate"]["rate"]) == (True, pytest.approx(0.9))
    assert not Alert.objects.exists()


def test_a_drop_of_ten_points_in_both_runs_is_confirmed() -> None:
    weekly = confirmed(80)
    assert (weekly.state, weekly.action) == ("confirmed", "notify")
    assert not Evidence.objects.get(origin="weekly").passed


def test_a_confirmed_regression_is_an_alert_with_its_figures(live: Evidence) -> None:
    weekly = confirmed()
    found = alert(rows.REGRESSION)
    assert "70.0% and 70.0% pass, and 90.0% in its baseline (p < 0.0001" in found.summary
    assert found.figures == weekly_figures(weekly, live)
    assert controls.live_version(FEATURE) == "v4"
    answered(begun(), 90)
    found.refresh_from_db()
    assert found.closed_at, "a run without a regression ends it"


def weekly_figures(weekly: WeeklyRun, live: Evidence) -> dict[str, Any]:
    assert weekly.verdict
    p = round(weekly.verdict["p"], 6)
    measured = {"rate": 0.7, "baseline_rate": 0.9, "drop_points": 20.0, "p": p}
    return {
        "version": "v4",
        "baseline": str(live.pk),
        **measured,
        **{f"confirming_{name}": value for name, value in measured.items()},
        "floor": weekly.verdict["floor"],
        "run": str(weekly.run_id),
        "confirmation": str(weekly.confirmation_id),
    }


def test_a_confirmed_regression_rolls_back(live: Evidence) -> None:
    made.evidence(SLUG, "v2")
    choose("roll_back")
    weekly = confirmed()
    assert "It was rolled back to v2." in weekly.note
    row = activations.live_row(SLUG)
    assert row
    assert (row.version, row.kind, row.check_name) == ("v2", "rolled_back", "weekly evals")
    audit = ControlChange.objects.get(field="live_prompt", check_name="weekly evals")
    assert audit.figures
    assert weekly_figures(weekly, live).items() <= audit.figures.items()
    assert "rolled back to v2" in alert(rows.REGRESSION).summary


def test_nothing_to_roll_back_to_is_in_the_alert() -> None:
    choose("roll_back")
    confirmed()
    assert "It was not rolled back, and users still get it." in alert(rows.REGRESSION).summary
    assert controls.live_version(FEATURE) == "v4"


def test_a_confirmed_regression_pulls_the_switch(live: Evidence) -> None:
    choose("stop")
    weekly = confirmed()
    assert controls.switch.is_stopped(SLUG)
    audit = ControlChange.objects.get(feature=SLUG, field="killed")
    assert audit.figures == weekly_figures(weekly, live)


def test_a_decline_of_four_points_a_week_is_caught() -> None:
    """No week is an alarm against the one before."""
    assert answered(begun(), 86).state == "passed"
    weekly = answered(begun(), 82)
    assert weekly.state == "confirming"
    assert answered(tick(weekly), 82).state == "confirmed"


def test_nothing_follows_if_another_prompt_became_live_meanwhile() -> None:
    choose("stop")
    weekly = answered(begun(), 70)
    tick(weekly)
    made.evidence(SLUG, "v2")
    activations.roll_back(SLUG, reason="test", check_name="test")
    answered(weekly, 70)
    assert (weekly.state, bool(weekly.confirmation_verdict)) == ("outdated", True)
    assert "v2" in weekly.note
    assert not controls.switch.is_stopped(SLUG)
    assert not Alert.objects.filter(kind=rows.REGRESSION).exists()
    assert not Evidence.objects.filter(origin="weekly").exists()


def under_way(weekly: WeeklyRun) -> QuerySet[Run]:
    assert weekly.current
    return Run.objects.filter(pk=weekly.current.pk)


def stop_for_its_budget(weekly: WeeklyRun) -> None:
    under_way(weekly).update(state="stopped", note="The budget is used up.")


def let_it_age(weekly: WeeklyRun) -> None:
    controls.switch.trip(SLUG, check="test", reason="test", figures={})
    old = Now() - steps.MOST_AGE - timedelta(seconds=1)
    under_way(weekly).update(created_at=old)


def leave_it_unscored(weekly: WeeklyRun) -> None:
    assert weekly.run
    answer(weekly.run, 70, unscored=3)  # no alarm either: too little is measured


def break_it(weekly: WeeklyRun) -> None:
    under_way(weekly).update(feature="gone")
    tick(weekly)
    assert weekly.state == "open", "one failure is not enough"


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (stop_for_its_budget, "The budget is used up."),
        (let_it_age, "not complete after 12 hours. The kill switch of summarize holds its jobs."),
        (leave_it_unscored, "3.0% of repeats are unscored"),
        (break_it, "Its driver failed 2 times"),
    ],
)
def test_a_run_without_a_result_is_an_alert_until_one_has_a_result(
    happens: Callable[[WeeklyRun], None], why: str
) -> None:
    weekly = begun()
    happens(weekly)
    assert tick(weekly).state == "incomplete"
    assert why in weekly.note
    found = alert(rows.INCOMPLETE)
    assert why in found.summary
    assert "Repeat it: python -m evals weekly summarize" in found.summary
    assert not Evidence.objects.filter(origin="weekly").exists()
    assert answered(begun(), 90).state == "passed"
    found.refresh_from_db()
    assert found.closed_at


def test_a_worker_without_the_extra_is_an_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    rows.plan([FEATURE])
    monkeypatch.delitem(sys.modules, "evals.weekly.steps")
    monkeypatch.setitem(sys.modules, "evals.statistics.weekly", None)
    monkeypatch.delattr("evals.statistics.weekly", raising=False)
    assert not ticks.drive().ok
    assert "install the extra `evals`" in alert(rows.INCOMPLETE).summary


def test_an_edited_suite_compares_the_cases_that_are_the_same(suite: Path, live: Evidence) -> None:
    write_suite(suite, changed=40)
    weekly = answered(begun(), 90)
    assert weekly.verdict
    assert (weekly.state, weekly.verdict["cases"]) == ("passed", 60)
    assert weekly.baseline_evidence == live.pk
    assert weekly.verdict["floor_rate"] == 0.9, "the floor counts all cases"


def test_a_run_becomes_the_baseline_if_too_few_cases_are_the_same(suite: Path) -> None:
    write_suite(suite, changed=60)
    first = answered(begun(), 86)
    assert (first.state, first.is_baseline, first.baseline_evidence) == ("passed", True, None)
    assert "shares 40 cases" in first.baseline_note
    assert [mark["kind"] for mark in first.marks] == ["baseline"]
    second = answered(begun(), 82)
    assert (second.baseline_run, second.is_baseline) == (first.run, False)
    third = answered(begun(), 74)
    assert (third.baseline_run, third.state) == (first.run, "confirming"), "not the second"


def test_an_override_is_measured_by_the_floor_alone(ada: User) -> None:
    bo = User.objects.create_user("bo")
    asked = activations.request_override(SLUG, "v2", hours=1, reason="r", user_id=ada.pk)
    activations.approve_override(asked.pk, reason="r", user_id=bo.pk)
    weekly = answered(begun(), 70)
    assert (weekly.version, weekly.state, weekly.is_baseline) == ("v2", "passed", False)
    assert weekly.verdict
    assert (weekly.verdict["baseline"], weekly.verdict["floor_rate"]) == (None, 0.7)


def test_another_answering_model_is_noticed_and_voids_nothing(live: Evidence) -> None:
    weekly = answered(begun(), 88, model="haiku-2")
    found = alert(rows.MODEL_CHANGED)
    assert "haiku-2 answers for summarize v4" in found.summary
    assert "made with haiku-1" in found.summary
    assert "shifted by -2.0 points, to 88.0%" in found.summary
    assert weekly.state == "passed"
    assert weekly.marks == [{"kind": "model", "text": "haiku-2 answered, and before haiku-1."}]
    live.refresh_from_db()
    assert (live.passed, live.answered_by) == (True, ["haiku-1"])
    assert Evidence.objects.get(origin="weekly").answered_by == ["haiku-1", "haiku-2"]
    answered(begun(), 88)
    found.refresh_from_db()
    assert found.closed_at


def test_a_model_of_the_route_may_stand_in_for_a_few_answers() -> None:
    weekly = begun()
    assert weekly.run
    answer(weekly.run, 90)
    other = min(FEATURE.models)
    Sample.objects.filter(run=weekly.run, case="text-000").update(model=other)
    assert tick(weekly).state == "passed"
    assert not Alert.objects.exists()
    assert [mark["kind"] for mark in weekly.marks] == ["model"]
