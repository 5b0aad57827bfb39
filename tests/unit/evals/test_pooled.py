"""Running a prompt again adds data, and is no second chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from evals.statistics.data import CaseOutcomes, Outcome
from evals.statistics.distributions import Bools, Floats
from evals.statistics.pooled import is_failure, judge
from evals.statistics.rules import DEFAULT
from evals.statistics.simulation import Comparisons, classify
from evals.statistics.verdict import Decision, Verdict
from tests.unit.evals.made import alone, by_churn, case, decided, flaky, singles, suite

PASS, REGRESSION, NOT_COMPARABLE = Decision.PASS, Decision.REGRESSION, Decision.NOT_COMPARABLE
LOOKS = 3


def judged_pool(
    cases: Sequence[CaseOutcomes],
    *,
    failed_before: bool = True,
    floor: float = 0.0,
    unscored: int = 0,
    judged: bool = False,
) -> Verdict:
    count = sum(len(each.baseline) + len(each.candidate) for each in cases) + unscored
    return judge(
        cases,
        judged=judged,
        floor=floor,
        unscored=unscored,
        total=count,
        failed_before=failed_before,
    )


@dataclass(frozen=True)
class Trials:
    """Authors who run a prompt up to three times, and stop at the first pass."""

    failed: int
    """Trials whose first run did not pass."""
    ordinary: int
    """Those of `failed` of which a later pool passes by the ordinary rule."""
    passed: int
    """Those of `failed` of which a later pool passes."""


def trials(before: Floats, after: Floats, repeats: int, *, rounds: int) -> Trials:
    """Simulate trials with these pass probabilities of the cases."""
    random = np.random.default_rng(4)
    shape = (rounds, LOOKS * repeats, len(before))
    baseline, candidate = random.random(shape) < before, random.random(shape) < after
    pools = [
        _passes(baseline[:, : look * repeats], candidate[:, : look * repeats])
        for look in range(1, LOOKS + 1)
    ]
    second = [np.flatnonzero(~pools[0] & later) for later in pools[1:]]
    passed = {
        trial
        for look, chosen in enumerate(second, start=2)
        for trial in chosen
        if judged_pool(
            _cases(baseline[trial, : look * repeats], candidate[trial, : look * repeats])
        ).decision
        is PASS
    }
    return Trials(int((~pools[0]).sum()), len({*second[0], *second[1]}), len(passed))


def _passes(baseline: Bools, candidate: Bools) -> Bools:
    """Return which pools pass by the ordinary rule."""
    before, after = baseline.mean(axis=1), candidate.mean(axis=1)
    _, repeats, cases = baseline.shape
    none = np.zeros(before.shape, dtype=np.bool_)
    decided = classify(
        Comparisons(before, after, after - before, None, none, np.full(cases, repeats)),
        groups=alone(cases),
        must=none[0],
        judged=False,
        floor=0.0,
        rules=DEFAULT,
    )
    return np.asarray(~decided.regression & ~decided.not_comparable)


def _cases(baseline: Bools, candidate: Bools) -> list[CaseOutcomes]:
    def marks(passed: Bools) -> str:
        return "".join("+" if each else "-" for each in passed)

    return [
        case(str(number), marks(baseline[:, number]), marks(candidate[:, number]))
        for number in range(baseline.shape[1])
    ]


@pytest.mark.parametrize(
    ("chances", "repeats", "least"),
    [
        (by_churn(0.10, 50), 1, 0.1),
        (by_churn(0.10, 50), 3, 0.005),
        (by_churn(0.05, 100), 1, 0.005),
        (flaky(0.3, 100), 1, 0.005),
    ],
)
def test_three_runs_pass_a_drop_of_ten_points_no_more_often_than_one(
    chances: Floats, repeats: int, least: float
) -> None:
    """By the ordinary rule alone, at least this share of trials would pass later."""
    rounds = 800
    worse = chances * (1 - 0.1 / float(chances.mean()))
    found = trials(chances, worse, repeats, rounds=rounds)
    assert found.ordinary >= least * rounds
    assert found.passed == 0


def test_an_unlucky_prompt_passes_after_further_runs() -> None:
    """At 100 cases and three repeats, most of the false alarms end after two more runs."""
    unchanged = by_churn(0.05, 100)
    found = trials(unchanged, unchanged, 3, rounds=1_500)
    assert found.failed >= 30
    assert found.passed >= 0.7 * found.failed


def test_first_pool_is_decided_as_one_run() -> None:
    for cases in (singles(worse=4), singles(worse=5), singles(worse=12, better=6, cases=60)):
        verdict = judged_pool(cases, failed_before=False)
        assert verdict == decided(cases)
        assert is_failure(verdict) is (verdict.decision is not PASS)


def test_pool_must_exclude_a_drop_after_a_failure() -> None:
    noisy = suite({("++", "+-"): 8, ("+-", "++"): 8, ("++", "++"): 44})
    assert judged_pool(noisy, failed_before=False).decision is PASS
    verdict = judged_pool(noisy)
    assert verdict.decision is NOT_COMPARABLE
    assert " ".join(verdict.reasons) == (
        "An earlier run of this prompt did not pass. Now its pool must show that the pass rate "
        "dropped by less than 10 points. It shows -14.0 to +14.0 points, with 99.99% confidence. "
        "More repeats can decide."
    )
    assert not is_failure(verdict), "that the first failure lasts is up to the caller"
    calm = suite({("++", "+-"): 2, ("+-", "++"): 2, ("++", "++"): 116})
    assert judged_pool(calm).decision is PASS
    assert judged_pool(calm).reasons == ()


@pytest.mark.parametrize(
    ("change", "judged", "words"),
    [
        ({"at_once": False}, False, "share of valid first answers dropped"),
        ({"score": 0.2}, True, "score, in points of the pass rate, dropped"),
    ],
)
def test_other_tested_values_must_exclude_a_drop_too(
    change: dict[str, Any], judged: bool, words: str
) -> None:
    """Passes are equal, and of another value as many repeats are worse as are better."""
    usual, other = Outcome(True, 1.0), replace(Outcome(True, 1.0), **change)
    cases = [
        replace(each, baseline=(usual, before), candidate=(usual, after))
        for number, each in enumerate(singles(cases=60))
        for before, after in [((usual, other), (other, usual), (usual, usual))[min(2, number // 8)]]
    ]
    assert judged_pool(cases, judged=judged, failed_before=False).decision is PASS
    verdict = judged_pool(cases, judged=judged)
    assert verdict.decision is NOT_COMPARABLE
    assert words in " ".join(verdict.reasons)


@pytest.mark.parametrize("is_paired", [True, False])
def test_rate_must_be_above_the_floor_with_confidence_after_a_failure(is_paired: bool) -> None:
    marks = {"+-+-": 4, "++--": 2, "++++": 394}
    cases = suite({(each if is_paired else "", each): count for each, count in marks.items()})
    assert judged_pool(cases, floor=0.99, failed_before=False).decision is PASS
    verdict = judged_pool(cases, floor=0.99)
    assert verdict.decision is NOT_COMPARABLE
    assert " ".join(verdict.reasons) == (
        "An earlier run of this prompt did not pass. Now its pool must show that the pass rate is "
        "not below the floor of 99.0%. It shows 98.9% to 99.6%, with 95% confidence. More repeats "
        "can decide."
    )
    assert judged_pool(cases, floor=0.98).decision is PASS


@pytest.mark.parametrize(("marks", "groups"), [("+", 60), ("++", 1)])
def test_one_repeat_or_group_shows_no_noise_around_the_floor(marks: str, groups: int) -> None:
    cases = [case(str(number), "", marks, group=str(number % groups)) for number in range(60)]
    assert judged_pool(cases, floor=0.5, failed_before=False).decision is PASS
    verdict = judged_pool(cases, floor=0.5)
    assert verdict.decision is NOT_COMPARABLE
    assert "Most cases need two repeats for that, and the cases need two groups." in str(verdict)


def test_equal_scores_of_failures_do_not_turn_a_drop_into_a_rise() -> None:
    """Failures have higher scores than passes, so that a lower score seems to be better."""
    low, high = Outcome(True, 0.5), Outcome(False, 0.9)
    cases = [
        replace(each, baseline=(high,) * 2, candidate=(low,) * 2 if number < 12 else (high,) * 2)
        for number, each in enumerate(singles())
    ]
    assert "the score, in points of the pass rate, dropped" in str(judged_pool(cases, judged=True))


@pytest.mark.parametrize("failed_before", [True, False])
@pytest.mark.parametrize(
    ("baseline", "candidate", "fresh", "decision"),
    [
        ("+++", "---+++", "---", REGRESSION),
        ("++++++", "++++++---", "+-+---", REGRESSION),
        ("", "---+++", "---", REGRESSION),
        ("+++---", "------+++", "", REGRESSION),
        ("+++", "------", "", REGRESSION),
        ("++++++", "---+++", "+--", PASS),
        ("++++++", "+++---", "", PASS),
        ("------", "------", "", PASS),
    ],
    ids=[
        "it broke in the first run",
        "it broke in the second run",
        "and nothing is live now",
        "the first two runs broke it",
        "the second run was without fresh repeats",
        "a fresh repeat passed",
        "it failed in the second run only",
        "it never passed",
    ],
)
def test_broken_must_case_stays_broken(
    failed_before: bool, baseline: str, candidate: str, fresh: str, decision: Decision
) -> None:
    usual = "+" * 9 if baseline else ""
    cases = [case("vital", baseline, candidate, must=True, fresh=fresh)]
    cases += suite({(usual, "+" * 9): 400})
    verdict = judged_pool(cases, failed_before=failed_before)
    assert verdict.decision is decision, verdict.reasons
    assert verdict.must_broken == (("vital",) if decision is REGRESSION else ())
    assert is_failure(verdict) is (decision is REGRESSION)
    if decision is REGRESSION:
        assert "The case vital may never break, and it broke" in verdict.reasons[0]


@pytest.mark.parametrize(("baseline", "suspected"), [("+" * 9 + "-", True), ("+" * 8 + "-", False)])
def test_one_failure_of_many_repeats_leaves_a_must_case_protected(
    baseline: str, suspected: bool
) -> None:
    cases = [case("vital", baseline, "---", must=True), *suite({("+", "+"): 100})]
    assert judged_pool(cases).suspects == (("vital",) if suspected else ())


def test_missing_evidence_is_no_failure_but_hides_none() -> None:
    lost, few = judged_pool(singles(), unscored=20), judged_pool(singles(cases=49))
    assert {lost.decision, few.decision} == {NOT_COMPARABLE}
    assert not is_failure(lost)
    assert not is_failure(few)
    assert is_failure(judged_pool(singles(worse=5), unscored=20))
    assert is_failure(judged_pool(suite({("", "+"): 40, ("", "-"): 9}), floor=0.9))
