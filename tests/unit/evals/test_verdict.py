"""Each rule of the verdict decides what it must, at its limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evals.harness import conclude
from evals.report.words import first_answers, smallest_drop
from evals.statistics.comparison import MCNEMAR, PAIRED_T
from evals.statistics.data import CaseOutcomes, Outcome
from evals.statistics.power import error_rates, flips, stored_repeats
from evals.statistics.verdict import Decision, Verdict, alone, decide, suspects
from tests.unit.evals.made import case, decided, singles, suite

PASS, REGRESSION, NOT_COMPARABLE = Decision.PASS, Decision.REGRESSION, Decision.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("worse", "better", "cases", "decision"),
    [
        (0, 0, 100, PASS),
        (4, 0, 100, PASS),
        (5, 0, 100, REGRESSION),
        (8, 2, 61, PASS),
        (8, 2, 60, REGRESSION),
        (12, 6, 60, NOT_COMPARABLE),
        (12, 6, 61, PASS),
        (0, 5, 100, PASS),
    ],
    ids=[
        "nothing changed",
        "p = .031",
        "p = .016",
        "p = .033, a drop of 9.8 points",
        "p = .033, a drop of 10 points",
        "p = .12, a drop of 10 points that noise can explain",
        "p = .12, a drop of 9.8 points",
        "an improvement",
    ],
)
def test_the_test_and_the_drop(worse: int, better: int, cases: int, decision: Decision) -> None:
    verdict = decided(singles(worse=worse, better=better, cases=cases))
    assert verdict.decision is decision, verdict.reasons
    assert verdict.test == MCNEMAR
    assert bool(verdict.reasons) is (decision is not PASS)


def test_a_verdict_has_every_figure() -> None:
    verdict = decided(
        suite({("+++", "++-"): 6, ("+-+", "+++"): 2, ("+++", "+++"): 51, ("-+-", "-+-"): 1})
    )
    assert verdict.baseline is not None
    assert verdict.candidate is not None
    assert verdict.baseline.rate == pytest.approx((57 + 2 * 2 / 3 + 1 / 3) / 60)
    assert verdict.baseline.churn == pytest.approx(3 / 60)
    assert verdict.candidate.churn == pytest.approx(7 / 60)
    assert verdict.baseline.interval.low < verdict.baseline.rate < verdict.baseline.interval.high
    assert verdict.difference_points == pytest.approx(-4 / 3 / 60 * 100)
    assert verdict.difference_interval is not None
    assert verdict.difference_interval.low < -4 / 3 / 60 * 100 < verdict.difference_interval.high
    assert (len(verdict.worse), len(verdict.better), len(verdict.churning)) == (6, 2, 9)
    assert (verdict.cases, verdict.groups, verdict.repeats) == (60, 60, 3)
    assert verdict.test == PAIRED_T
    assert verdict.p == pytest.approx(0.0795, abs=1e-4)


def repaired(cases: list[CaseOutcomes], share: int) -> list[CaseOutcomes]:
    """Let the first answer of the candidate be invalid in one case of `share`."""
    return [
        replace(each, candidate=tuple(replace(o, at_once=False) for o in each.candidate))
        if number % share == 0
        else each
        for number, each in enumerate(cases)
    ]


def test_more_repairs_are_a_regression_although_the_same_cases_pass() -> None:
    same = suite({("+++", "+++"): 60})
    verdict = decided(repaired(same, 6))
    assert verdict.decision is REGRESSION
    (reason,) = verdict.reasons
    assert reason.startswith("First answers are valid 16.7 points less often")
    assert reason.endswith("p = 0.0005, below 0.005.")
    assert verdict.candidate
    assert verdict.candidate.at_once == pytest.approx(5 / 6)
    assert decided(repaired(same, 10)).decision is PASS, "six of sixty may be chance"
    fewer = [replace(e, baseline=e.candidate, candidate=e.baseline) for e in repaired(same, 6)]
    assert decided(fewer).decision is PASS


@pytest.mark.parametrize("arm", ["baseline", "candidate"])
def test_first_answers_of_which_one_is_unknown_are_not_compared(arm: str) -> None:
    """Repeats of earlier releases do not show whether the first answer was valid."""
    first, *others = repaired(suite({("+++", "+++"): 60}), 6)
    unknown: dict[str, Any] = {arm: tuple(replace(o, at_once=None) for o in getattr(first, arm))}
    cases = [replace(first, **unknown), *others]
    verdict = decided(cases)
    assert (verdict.decision, verdict.p_at_once) == (NOT_COMPARABLE, None)
    assert "an earlier release" in verdict.reasons[0]
    stored = conclude.as_json(verdict)
    assert stored[arm]["at_once"] is None
    assert first_answers(stored) == ""
    rates = [
        error_rates(stored_repeats(each, arm=arm), repeats=3, judged=False, drops=(0,), rounds=99)  # type: ignore[arg-type]
        for each in (cases, suite({("+++", "+++"): 60}))
    ]
    assert rates[0] == rates[1]
    assert flips(cases, judged=False, rounds=99) == 0


def test_groups_and_repeats_use_the_clustered_test() -> None:
    grouped = [replace(each, group=each.id[:2]) for each in singles(worse=5)]
    assert decided(grouped).test == PAIRED_T
    assert decided(grouped).groups == 10, "c0 to c9 by the first digit"


def test_ten_identical_failures_are_one() -> None:
    cases = [replace(each, group=str(n // 10)) for n, each in enumerate(singles(worse=10))]
    verdict = decided(cases)
    assert verdict.decision is NOT_COMPARABLE
    assert verdict.p == 1 / 4, "one group differs, as one coin shows heads, counted by half"
    assert decided(singles(worse=10)).decision is REGRESSION


@pytest.mark.parametrize(
    ("baseline", "candidate", "decision"),
    [("++-", "++-", PASS), ("+++", "++-", REGRESSION), ("++-", "+++", PASS)],
)
def test_equal_differences_decide(baseline: str, candidate: str, decision: Decision) -> None:
    assert decided(suite({(baseline, candidate): 50})).decision is decision


@pytest.mark.parametrize(
    ("baseline", "candidate", "fresh", "must", "decision"),
    [
        ("+++", "---", "---", True, REGRESSION),
        ("+++", "---", "---", False, PASS),
        ("+++", "---", "", True, NOT_COMPARABLE),
        ("+++", "---", "--", True, NOT_COMPARABLE),
        ("+++", "---", "-+", True, PASS),
        ("+++", "--+", "---", True, PASS),
        ("++-", "---", "---", True, PASS),
        ("++", "--+", "---", True, PASS),
        ("++-", "--", "---", True, PASS),
    ],
)
def test_a_broken_must_case_needs_three_repeats_of_each(
    baseline: str, candidate: str, fresh: str, must: bool, decision: Decision
) -> None:
    cases = suite({("+++", "+++"): 59})
    cases.append(case("vital", baseline, candidate, must=must, fresh=fresh))
    verdict = decided(cases)
    assert verdict.decision is decision, verdict.reasons
    assert verdict.must_broken == (("vital",) if decision is REGRESSION else ())
    assert suspects(cases) == (("vital",) if decision is NOT_COMPARABLE else ())
    assert verdict.suspects == suspects(cases)


@pytest.mark.parametrize(("baseline", "candidate"), [("++", "---"), ("+++", "--"), ("+++", "")])
def test_unscored_repeats_do_not_hide_a_broken_must_case(baseline: str, candidate: str) -> None:
    cases = suite({("+++", "+++"): 199})
    assert decided([*cases, case("vital", baseline, candidate)]).decision is PASS
    verdict = decided([*cases, case("vital", baseline, candidate, must=True)])
    assert verdict.decision is NOT_COMPARABLE
    assert "vital may never break, and too few" in " ".join(verdict.reasons)


def test_a_reason_from_outside_blocks_a_pass() -> None:
    found = decide(singles(), judged=False, floor=0, unscored=0, total=200, blocked=["No."])
    assert (found.decision, found.reasons[0]) == (NOT_COMPARABLE, "No.")


@pytest.mark.parametrize(("floor", "decision"), [(0.9, PASS), (0.901, REGRESSION)])
def test_rate_below_the_floor_is_a_regression(floor: float, decision: Decision) -> None:
    verdict = decided(suite({("+", "+"): 90, ("-", "-"): 10}), floor=floor)
    assert verdict.decision is decision
    assert ("below the floor" in " ".join(verdict.reasons)) is (decision is REGRESSION)


@pytest.mark.parametrize(("unscored", "decision"), [(2, PASS), (3, NOT_COMPARABLE)])
def test_more_than_two_percent_unscored_is_not_comparable(
    unscored: int, decision: Decision
) -> None:
    assert decided(singles(), unscored=unscored, total=100).decision is decision


def test_case_with_one_arm_counts_as_unscored() -> None:
    """A share of 4 lost and 1 unscored repeats of 205."""
    cases = [*singles(), *(case(f"lost{number}", "+", "") for number in range(4))]
    verdict = decided(cases, unscored=1)
    assert verdict.unscored_share == pytest.approx(5 / 205)
    assert verdict.decision is NOT_COMPARABLE
    assert verdict.cases == 100
    assert decided(cases[:-1], unscored=1).decision is PASS


@pytest.mark.parametrize(
    "cases",
    [
        [],
        [case("one", "+", "+")],
        suite({("+", ""): 100}),
        suite({("", "+"): 100}),
        [case(str(number), "+", "-", group="all") for number in range(100)],
    ],
    ids=["no case", "one case", "no candidate", "no baseline", "one group"],
)
def test_no_test_is_possible(cases: list[CaseOutcomes]) -> None:
    verdict = decided(cases)
    assert verdict.decision is NOT_COMPARABLE
    assert verdict.p is None
    assert verdict.reasons


def test_small_suite_is_no_evidence_but_has_figures() -> None:
    verdict = decided(singles(worse=20, cases=49))
    assert verdict.decision is NOT_COMPARABLE
    assert verdict.p == pytest.approx(0, abs=1e-5)
    assert verdict.smallest_drop_points is not None
    assert f"a drop below {verdict.smallest_drop_points:.0f} points" in verdict.reasons[0]
    assert any("worse" in reason for reason in verdict.reasons)
    assert decided(singles(worse=20, cases=50)).decision is REGRESSION


@pytest.mark.parametrize(("better", "suspicious"), [(15, False), (16, True)])
def test_large_improvement_is_suspicious(better: int, suspicious: bool) -> None:
    verdict = decided(singles(better=better))
    assert verdict.decision is PASS
    assert verdict.suspicious is suspicious
    assert ("broken scorer" in " ".join(verdict.reasons)) is suspicious


def test_judged_suite_is_tested_on_scores() -> None:
    """Each case passes, with a lower score than before."""

    def judged(number: int, after: float) -> CaseOutcomes:
        return CaseOutcomes(
            str(number), str(number), False, (), (Outcome(True, 1.0),), (Outcome(True, after),)
        )

    cases = [judged(number, 0.75 if number % 10 == 0 else 1.0) for number in range(100)]
    verdict = decided(cases, judged=True)
    assert verdict.decision is REGRESSION
    assert verdict.score_difference == pytest.approx(-0.025)
    assert verdict.difference_points == 0
    assert decided(cases).decision is PASS


def test_tags_are_corrected_and_never_decide() -> None:
    cases = [
        replace(each, tags=("bad",) if each.candidate[0].passed < each.baseline[0].passed else ())
        for each in singles(worse=8, better=8)
    ]
    cases = [replace(each, tags=(*each.tags, "rest")) for each in cases]
    cases.append(case("only", "+", "+", tags=("alone",)))
    verdict = decided(cases)
    assert verdict.decision is PASS
    bad, rest = (tag for tag in verdict.tags if tag.p is not None)
    assert (bad.tag, bad.cases, bad.difference_points) == ("bad", 8, -100)
    assert bad.p == pytest.approx(1 / 2**8)
    assert bad.p_holm == pytest.approx(2 / 2**8), "two tags have a test"
    assert rest.p == pytest.approx(1)
    assert [tag.tag for tag in verdict.tags] == ["alone", "bad", "rest"]


@pytest.mark.parametrize(
    ("floor", "unscored", "total"), [(90, 0, 200), (0.9, 3, 2), (0.9, -1, 200), (-0.1, 0, 200)]
)
def test_impossible_arguments_are_refused(floor: float, unscored: int, total: int) -> None:
    with pytest.raises(ValueError, match=r"floor|impossible"):
        decided(singles(), floor=floor, unscored=unscored, total=total)


def alone_on(cases: int, marks: str, *flaky: str) -> Verdict:
    """The verdict without a baseline on cases with these repeats."""
    each = [*flaky, *[marks] * (cases - len(flaky))]
    found = [case(str(number), "", candidate) for number, candidate in enumerate(each)]
    total = sum(map(len, each))
    return alone(found, judged=False, floor=0.5, unscored=0, total=total)


def test_a_small_suite_without_a_baseline_names_what_it_cannot_see() -> None:
    ten = alone_on(10, "+")
    drop = ten.smallest_drop_points
    assert ten.decision is NOT_COMPARABLE
    assert drop is not None
    assert drop > 50
    assert f"It cannot show a drop below {drop:.0f} points with 90% power." in ten.reasons[0]
    assert (smallest_drop(conclude.as_json(ten)) or "").startswith("at least ")
    assert "any drop" in alone_on(1, "+").reasons[0]


def test_the_smallest_drop_without_a_baseline_is_that_of_a_comparison_with_itself() -> None:
    steady = alone_on(100, "++++").smallest_drop_points
    noisy = alone_on(100, "++++", *["++--", "--++"] * 20).smallest_drop_points
    assert steady is not None
    assert noisy is not None
    assert steady == decided(suite({("+", "+"): 100})).smallest_drop_points
    assert noisy > steady
    compared = suite({("+", "+"): 60}) + [
        case(f"f{number}", *arms)
        for number, arms in enumerate([("++++", "----"), ("----", "++++")] * 20)
    ]
    assert noisy < (decided(compared).smallest_drop_points or 0), "means over repeats vary less"
