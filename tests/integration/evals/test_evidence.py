"""Evidence is the verdict on all that is known of a prompt, against what is live."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Case, Value, When
from django.utils import timezone

from aifeature import registry, suites
from aifeature.models import Evidence
from aifeature.services import controls
from aifeature.services.promotion import RefusedError, activations, subjects
from aifeature.suites import Suite
from evals.harness import plan, pools, proof
from evals.models import Run, Sample
from evals.statistics import pooled
from tests import proof as proofs

pytestmark = pytest.mark.django_db

SLUG = "summarize"
FEATURE = registry.get(SLUG)
CASES = 100

Answers = Callable[[str, int], bool]
"""Takes a case and a repeat and returns whether it passes."""


@cache
def suite() -> Suite:
    whole = suites.load(FEATURE)
    free = tuple(case.model_copy(update={"must": False}) for case in whole.cases[:CASES])
    return replace(whole, cases=free)


@pytest.fixture(autouse=True)
def _small_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    found = suite()
    monkeypatch.setattr(suites, "load", lambda *_args, **_named: found)


def share(of: float, *, seed: str = "") -> Answers:
    """Pass this share of the cases, the same ones in each repeat. A seed flips a few by chance."""
    last = {case.id: place for place, case in enumerate(suite().cases)}

    def passes(case: str, repeat: int) -> bool:
        good = last[case] < of * CASES
        flips = seed and random.Random(f"{seed}{case}{repeat}").random() < 0.03
        return good is not bool(flips)

    return passes


def ran(
    candidate: str,
    answers: Answers,
    *,
    baseline: str | None = None,
    before: Answers | None = None,
    state: str = Run.State.ENDED,
    model: str = "claude-haiku-5-5",
    of: Suite | None = None,
) -> Run:
    """A run with these outcomes, which made no call."""
    run = plan.start(
        plan.Wanted(
            feature=FEATURE,
            candidate=candidate,
            baseline=baseline,
            repeats=3,
            cap_micro=10**9,
            suite=of or suite(),
        ),
        reuse=False,
    )
    for arm, passes in ((plan.CANDIDATE, answers), (plan.BASELINE, before)):
        samples = run.samples.filter(arm=arm)
        passed = [each.pk for each in samples if passes and passes(each.case, each.repeat)]
        samples.update(
            state=Sample.State.SCORED,
            passed=Case(When(pk__in=passed, then=Value(True)), default=Value(False)),
            score=Case(When(pk__in=passed, then=Value(1.0)), default=Value(0.0)),
            repaired=False,
            model=model,
        )
    verdict = {"decision": "pass"} if state == Run.State.ENDED else None
    Run.objects.filter(pk=run.pk).update(state=state, verdict=verdict, ended_at=timezone.now())
    run.refresh_from_db()
    return run


def made_live(version: str, rate: float) -> None:
    proof.record(ran(version, share(rate)))
    activations.activate(SLUG, version, reason="r", check_name="test")


def recorded(run: Run) -> Evidence:
    """Record the evidence of a run."""
    found = proof.record(run)
    assert found is not None
    return found


def decisions() -> list[str]:
    return [row.verdict["decision"] for row in Evidence.objects.order_by("created_at")]


def test_a_passing_run_permits_an_activation_and_a_failing_one_does_not() -> None:
    row = recorded(ran("v1", share(0.9)))
    assert (row.passed, row.live_hash, row.answered_by) == (True, "", ["claude-haiku-5-5"])
    assert row.verdict["candidate"]["rate"] == pytest.approx(0.9)
    assert row.account == "sandbox, key " + row.account[-8:], "it shows the key"
    activations.activate(SLUG, "v1", reason="r", check_name="test")
    assert not recorded(ran("v2", share(0.0))).passed
    with pytest.raises(RefusedError, match="did not pass"):
        activations.activate(SLUG, "v2", reason="r", check_name="test")


def test_a_candidate_is_compared_with_the_live_prompt_and_with_no_worse_one() -> None:
    made_live("v1", 0.9)
    row = recorded(ran("v2", share(0.9), baseline="v1", before=share(0.9)))
    assert (row.passed, row.verdict["compared_with"]) == (True, "v1")
    activations.activate(SLUG, "v2", reason="r", check_name="test")
    row = recorded(ran("v3", share(0.75), baseline="v2", before=share(0.9)))
    assert row.verdict["decision"] == "regression"


def test_a_run_against_another_prompt_than_the_live_one_is_no_evidence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The author compared with a worse prompt, and the live one has no outcomes."""
    proofs.activate(SLUG, "v2")
    row = recorded(ran("v3", share(0.8), baseline="v1", before=share(0.5)))
    assert not row.passed
    assert any("run it with --against v2" in reason for reason in row.verdict["reasons"])
    monkeypatch.setattr(controls.live, "has", lambda _f, prompt: prompt.version != "v2")
    row = recorded(ran("v3", share(0.8)))
    assert "It is not compared with v2, which is live" in row.verdict["reasons"][-1]


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each verdict on a pool counted an earlier failure, in order."""
    found: list[bool] = []
    judge = pooled.judge

    def noted(*arguments: Any, failed_before: bool, **named: Any) -> Any:
        found.append(failed_before)
        return judge(*arguments, failed_before=failed_before, **named)

    monkeypatch.setattr(pooled, "judge", noted)
    return found


def test_a_further_run_is_no_second_chance(failures: list[bool]) -> None:
    """The second run alone would pass. The pool of both does not."""
    made_live("v1", 0.9)
    proof.record(ran("v2", share(0.72, seed="a"), baseline="v1", before=share(0.9, seed="b")))
    lucky = ran("v2", share(0.9), baseline="v1", before=share(0.9))
    row = recorded(lucky)
    assert len(row.runs) == 2
    assert decisions()[1] == "regression"
    assert not row.passed
    assert failures == [False, False, True]


def test_a_run_that_was_stopped_counts_as_well(failures: list[bool]) -> None:
    """Its author saw bad outcomes, stopped it, and started another one."""
    made_live("v1", 0.9)
    ran("v2", share(0.6), baseline="v1", before=share(0.9), state=Run.State.STOPPED)
    row = recorded(ran("v2", share(0.9), baseline="v1", before=share(0.9)))
    assert len(row.runs) == 2
    assert not row.passed
    assert failures == [False, True]


def test_outcomes_that_were_edited_after_the_evidence_do_not_count() -> None:
    made_live("v1", 0.9)
    proof.record(ran("v2", share(0.6), baseline="v1", before=share(0.9)))
    Sample.objects.update(passed=True, score=1.0)
    row = recorded(ran("v2", share(0.9), baseline="v1", before=share(0.9)))
    assert row.verdict["candidate"]["rate"] == pytest.approx(0.75)
    assert not row.passed


def test_a_regression_of_the_live_prompt_is_not_repaired_by_running_it_again() -> None:
    """It is compared with the evidence with which it became live, and never by the floor alone."""
    made_live("v1", 0.9)
    assert not recorded(ran("v1", share(0.7))).passed
    again = recorded(ran("v1", share(0.85)))
    assert not again.passed
    assert again.verdict["baseline"]["rate"] == pytest.approx(0.9)


def test_outcomes_of_other_models_are_no_comparison_and_block_none() -> None:
    """The provider gave the name to another model: both prompts are run again then."""
    made_live("v1", 0.9)
    row = recorded(ran("v2", share(0.9), model="claude-opus-5-5"))
    assert not row.passed
    assert any("run it with --against v1" in each for each in row.verdict["reasons"])
    both = ran("v2", share(0.9), baseline="v1", before=share(0.9), model="claude-opus-5-5")
    assert recorded(both).passed
    assert recorded(ran("v1", share(0.9), model="claude-opus-5-5")).passed, "nothing is voided"


def test_a_regression_of_the_live_prompt_stays_one_after_an_edit_of_the_suite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made_live("v1", 0.9)
    edited = replace(suite(), hash="e" * 64, cases=suite().cases[1:])
    monkeypatch.setattr(suites, "load", lambda *_args, **_named: edited)
    row = recorded(ran("v1", share(0.7), of=edited))
    assert not row.passed
    assert row.verdict["baseline"]["rate"] == pytest.approx(89 / 99)


def test_evidence_below_a_floor_that_was_raised_since_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert recorded(ran("v1", share(0.3))).passed
    higher = controls.floors.InForce(0.8)
    monkeypatch.setattr(controls.floors, "known", lambda *_: higher)
    with pytest.raises(RefusedError, match="the floor in force"):
        activations.activate(SLUG, "v1", reason="r", check_name="test")


def test_a_run_of_other_cases_than_those_of_the_suite_is_no_evidence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The suite was edited during the run, or the author gave an easier file."""
    run = ran("v1", share(0.9))
    edited = replace(suite(), hash="e" * 64)
    monkeypatch.setattr(suites, "load", lambda *_args, **_named: edited)
    assert proof.record(run) is None
    assert "not those of the suite" in next(proof.of_run(run))
    with pytest.raises(RefusedError, match="no evidence"):
        activations.activate(SLUG, "v1", reason="r", check_name="test")


def test_a_prompt_that_is_live_by_an_override_is_compared_with_the_one_before(ada: User) -> None:
    """Otherwise an override would make a bad prompt live for good."""
    made_live("v1", 0.9)
    proof.record(ran("v2", share(0.7), baseline="v1", before=share(0.9)))
    request = activations.request_override(SLUG, "v2", hours=1, reason="r", user_id=ada.pk)
    other = User.objects.create_user("other")
    activations.approve_override(request.pk, reason="r", user_id=other.pk)
    assert not recorded(ran("v2", share(0.9))).passed
    with pytest.raises(RefusedError, match="did not pass"):
        activations.activate(SLUG, "v2", reason="r", check_name="test")
    request = activations.request_override(SLUG, "v3", hours=1, reason="r", user_id=ada.pk)
    activations.approve_override(request.pk, reason="r", user_id=other.pk)
    first = recorded(ran("v3", share(0.7)))
    assert (first.passed, first.verdict["compared_with"]) == (False, "v1")


def test_a_baseline_that_was_taken_from_another_run_counts_once() -> None:
    first = ran("v2", share(0.9), baseline="v1", before=share(0.8))
    run = ran("v3", share(0.9), baseline="v1", before=share(0.8))
    run.arms[plan.BASELINE]["taken_from"] = str(first.pk)
    run.save(update_fields=["arms"])
    pool = pools.of(subjects.of(FEATURE, "v1"))
    assert (pool.runs, pool.total) == ([str(first.pk)], 3 * CASES)


def test_a_resumed_run_replaces_its_own_earlier_outcomes() -> None:
    run = ran("v1", share(0.9))
    part = run.samples.filter(repeat=3)
    part.update(state=Sample.State.UNSCORED, passed=None, score=None)
    proof.record(run)
    part.update(state=Sample.State.SCORED, passed=True, score=1.0)
    row = recorded(run)
    assert [row.outcomes["total"], row.outcomes["unscored"], len(row.runs)] == [3 * CASES, 0, 1]


def test_evidence_with_another_key_of_the_provider_counts_and_names_it(settings: Any) -> None:
    row = recorded(ran("v1", share(0.9)))
    settings.AIFEATURE = {**settings.AIFEATURE, "API_KEY": "another"}
    activations.activate(SLUG, "v1", reason="r", check_name="test")
    assert recorded(ran("v1", share(0.9))).account != row.account


def test_evidence_of_a_provider_at_another_address_does_not_count(settings: Any) -> None:
    settings.AIFEATURE = {
        **settings.AIFEATURE,
        "PROVIDER": "anthropic",
        "BASE_URL": "http://localhost:9300",
    }
    row = recorded(ran("v1", share(0.9)))
    assert (row.provider, row.passed) == ("anthropic at localhost:9300", True)
    assert row.fresh_until is not None
    settings.AIFEATURE = {**settings.AIFEATURE, "BASE_URL": None}
    with pytest.raises(RefusedError, match="no evidence with anthropic"):
        activations.activate(SLUG, "v1", reason="r", check_name="test")
