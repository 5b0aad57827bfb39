"""The verdict seldom errs, in simulations with known pass probabilities."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from evals.statistics.data import CaseOutcomes, Outcome
from evals.statistics.detectable import smallest_drop_points
from evals.statistics.distributions import Bools, Floats
from evals.statistics.paired import grouping, mcnemar
from evals.statistics.power import (
    ErrorRate,
    ErrorRates,
    badge,
    error_rates,
    flips,
    repeats_for,
    stored_repeats,
)
from evals.statistics.rules import DEFAULT
from evals.statistics.simulation import CaseRepeats, Comparisons, classify
from evals.statistics.verdict import Decision, decide
from tests.unit.evals.made import (
    by_churn,
    case,
    classified,
    decided,
    flaky,
    simulated,
    singles,
    suite,
)

MOST_FALSE_ALARMS = 0.05


def with_must_cases(chances: Floats) -> tuple[Floats, Bools]:
    """Make 20 cases `must`, of which 15 pass with a probability of .98 and 5 of .5."""
    chances = chances.copy()
    chances[-20:] = [0.98] * 15 + [0.5] * 5
    return chances, np.arange(len(chances)) >= len(chances) - 20


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("cases", [50, 100])
@pytest.mark.parametrize("churn", [0, 0.03, 0.05, 0.08, 0.10, 0.20, 0.30])
def test_false_alarms_are_rare(churn: float, cases: int, repeats: int) -> None:
    """At most 25 % of cases can flip each way, so 30 % is the share of flaky cases."""
    chances = flaky(churn, cases) if churn > 0.25 else by_churn(churn, cases)
    for usual, must in ((chances, None), with_must_cases(chances)):
        # First answers are as noisy as passes, which is the worst case.
        found = classified(simulated(usual, repeats, first=chances), must=must)
        assert found.regression.mean() <= MOST_FALSE_ALARMS


def test_a_drop_of_ten_points_alone_would_be_a_false_alarm_too_often() -> None:
    rounds = simulated(by_churn(0.10, 50), 1)
    dropped = (rounds.baseline - rounds.candidate).mean(axis=1) > 0.0999
    assert dropped.mean() > MOST_FALSE_ALARMS
    assert not (dropped & ~classified(rounds).regression & ~classified(rounds).not_comparable).any()


def test_identical_cases_in_one_group_are_one() -> None:
    groups = grouping([str(number // 10) for number in range(200)])
    rounds = simulated(by_churn(0.08, 200), 3, groups=groups)
    assert classified(rounds, groups=groups).regression.mean() <= MOST_FALSE_ALARMS
    assert classified(rounds).regression.mean() > 0.2, "without clusters it is a false alarm"


@pytest.mark.parametrize(
    ("churn", "alpha", "power"), [(0.03, 0.05, 0.973), (0.05, 0.05, 0.936), (0.08, 0.05, 0.873)]
)
def test_power_of_mcnemar_is_as_computed_before(churn: float, alpha: float, power: float) -> None:
    """A drop of 15 points at 100 cases, with noise of the same size in both directions."""
    shares = [0.15 + churn, 0.85 - 2 * churn, churn]
    drawn = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], p=shares, size=(8_000, 100))
    assert (mcnemar(drawn) < alpha).mean() == pytest.approx(power, abs=0.01)


@pytest.mark.parametrize(
    ("chances", "repeats", "least", "most"),
    [
        (by_churn(0.05, 100), 1, 0.88, 0.95),
        (by_churn(0.05, 100), 3, 0.98, 1),
        (flaky(0.3, 100), 3, 0.97, 1),
        (flaky(0.3, 60), 1, 0.6, 0.8),
    ],
)
def test_power_of_the_verdict(chances: Floats, repeats: int, least: float, most: float) -> None:
    """Cases that fail for good lower the rate by 15 points."""
    rounds = simulated(chances, repeats, drop=0.15 / float(chances.mean()))
    assert least <= classified(rounds).regression.mean() <= most


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("chances", [by_churn(0, 99), by_churn(0.05, 99), flaky(0.3, 150)])
def test_smallest_drop_is_found_with_the_wanted_power(
    chances: Floats, size: int, repeats: int
) -> None:
    groups = grouping([str(number // size) for number in range(len(chances))])
    unchanged = simulated(chances, repeats, groups=groups, rounds=100).tested
    drops = [smallest_drop_points(row, groups) for row in unchanged]
    drop = float(np.median([each for each in drops if each is not None])) / 100
    rounds = simulated(chances, repeats, groups=groups, drop=drop / float(chances.mean()))
    found = classified(rounds, groups=groups).regression.mean()
    assert found == pytest.approx(0.9, abs=0.05)


def test_no_drop_is_found_between_two_groups() -> None:
    """With one degree of freedom, not even the loss of all cases is significant."""
    differences = np.array([0.5, -0.5] * 2)
    assert smallest_drop_points(differences, grouping(["a", "b"] * 2)) is None


def test_both_forms_of_the_verdict_agree() -> None:
    random = np.random.default_rng(11)
    found = dict.fromkeys(Decision, 0)
    for number in range(140):
        cases = _random_suite(random)
        judged, floor = bool(number % 2), float(random.choice([0, 0.7]))
        verdict = decide(cases, judged=judged, floor=floor, unscored=0, total=1)
        decided = classify(
            _as_arrays(cases, judged=judged),
            groups=grouping([each.group for each in cases]),
            must=np.array([each.must for each in cases]),
            judged=judged,
            floor=floor,
            rules=DEFAULT,
        )
        assert bool(decided.regression[0]) is (verdict.decision is Decision.REGRESSION)
        assert bool(decided.not_comparable[0]) is (verdict.decision is Decision.NOT_COMPARABLE)
        found[verdict.decision] += 1
    assert min(found.values()) >= 10, found


def _random_suite(random: np.random.Generator) -> list[CaseOutcomes]:
    repeats = int(random.choice([1, 3]))
    cases = int(random.choice([49, 50, 70]))
    groups = int(random.choice([cases, 8]))
    before = random.uniform(0.6, 1.0)
    after = before - random.choice([0, 0.1, 0.2])

    def drawn(chance: float, count: int) -> tuple[Outcome, ...]:
        passed = random.random(count) < chance
        at_once = random.random(count) < chance
        return tuple(
            Outcome(bool(p), float(random.uniform(0.4 * p, 0.6 + 0.4 * p)), bool(valid))
            for p, valid in zip(passed, at_once, strict=True)
        )

    made = []
    for number in range(cases):
        broken = random.random() < 0.005
        made.append(
            CaseOutcomes(
                id=str(number),
                group=str(number % groups),
                must=broken or random.random() < 0.2,
                tags=(),
                baseline=drawn(1.0 if broken else before, repeats),
                candidate=drawn(0.0 if broken else after, repeats),
                fresh=drawn(0.0 if broken else after, 3),
            )
        )
    return made


def _as_arrays(cases: list[CaseOutcomes], *, judged: bool) -> Comparisons:
    def means(value: str, arm: str) -> Floats:
        return np.array(
            [[np.mean([getattr(o, value) for o in getattr(each, arm)]) for each in cases]]
        )

    value = "score" if judged else "passed"
    return Comparisons(
        means("passed", "baseline"),
        means("passed", "candidate"),
        means(value, "candidate") - means(value, "baseline"),
        means("at_once", "candidate") - means("at_once", "baseline"),
        np.array([[not any(o.passed for o in each.fresh) for each in cases]]),
        np.array([len(each.baseline) for each in cases]),
    )


def stored(chances: Floats, repeats: int, *, seed: int = 5) -> list[CaseRepeats]:
    random = np.random.default_rng(seed)
    return [
        CaseRepeats(
            str(number),
            str(number),
            False,
            tuple(Outcome(bool(p), float(p)) for p in random.random(repeats) < chance),
        )
        for number, chance in enumerate(chances)
    ]


def test_the_false_alarms_of_first_answers_are_in_the_rates() -> None:
    """Their noise alone, while each case passes."""
    passes = stored(by_churn(0, 100), 3)
    noisy = [
        replace(
            case,
            outcomes=tuple(replace(o, at_once=bool(n % 2)) for n, o in enumerate(case.outcomes)),
        )
        for case in passes
    ]
    of_passes, of_both = (
        error_rates(cases, repeats=3, judged=False, drops=(0,)).false_alarms
        for cases in (passes, noisy)
    )
    assert of_passes is not None
    assert of_both is not None
    assert of_passes + 0.002 < of_both < of_passes + 0.01


@pytest.mark.parametrize("chances", [by_churn(0.05, 100), flaky(0.3, 100)])
def test_stored_repeats_give_the_true_error_rates(chances: Floats) -> None:
    """Averaged over stored suites, since three repeats of one suite misjudge its churn."""
    drops = (0, 10)
    made = [
        error_rates(stored(chances, 3, seed=seed), repeats=3, judged=False, drops=drops, rounds=500)
        for seed in range(8)
    ]
    for drop in drops:
        true = simulated(chances, 3, drop=drop / 100 / float(chances.mean()))
        estimated = np.mean([rates.regressions(drop) or 0.0 for rates in made])
        assert estimated == pytest.approx(classified(true).regression.mean(), abs=0.04)


@pytest.mark.parametrize(
    ("repeated", "single", "is_known"),
    [(12, 88, False), (49, 49, False), (49, 48, True), (50, 100, False), (8, 0, True)],
)
def test_a_few_repeated_cases_do_not_show_how_the_others_vary(
    repeated: int, single: int, *, is_known: bool
) -> None:
    """Of a suite that is run once, only `must` cases are repeated, and these seldom flip."""
    cases = suite({("+++", "+++"): repeated, ("+", "+"): single})
    verdict = decided(cases)
    assert verdict.candidate
    assert (verdict.candidate.churn is not None) is is_known
    with nullcontext() if is_known else pytest.raises(ValueError, match="at least twice"):
        error_rates(
            stored_repeats(cases, arm="candidate"), repeats=1, judged=False, drops=(), rounds=1
        )


def test_case_that_always_passed_may_still_fail() -> None:
    """Three passes of three are no proof: a suite without a flip is not free of noise."""
    rates = error_rates(stored(np.ones(60), 3), repeats=1, judged=False, drops=(15,), rounds=200)
    assert 0.8 < rates.rows[0].regressions <= 1
    with pytest.raises(ValueError, match="at least twice"):
        error_rates(stored(np.ones(60), 1), repeats=1, judged=False)


def test_broken_must_case_raises_the_power() -> None:
    usual = stored(by_churn(0.05, 60), 3)
    vital = [CaseRepeats(each.id, each.group, True, each.outcomes) for each in usual]
    found = [
        error_rates(cases, repeats=3, judged=False, drops=(0, 5), rounds=500).rows
        for cases in (usual, vital)
    ]
    assert found[1][1].regressions > found[0][1].regressions + 0.2
    assert found[1][0].regressions <= MOST_FALSE_ALARMS


def test_judged_suite_has_rare_false_alarms_and_power() -> None:
    random = np.random.default_rng(2)
    cases = [
        CaseRepeats(
            each.id,
            each.group,
            False,
            tuple(
                Outcome(o.passed, float(random.choice([0.75, 1] if o.passed else [0, 0.25, 0.5])))
                for o in each.outcomes
            ),
        )
        for each in stored(by_churn(0.05, 100), 3)
    ]
    rates = error_rates(cases, repeats=3, judged=True, drops=(0, 15), rounds=1_000)
    assert (rates.false_alarms or 0) <= MOST_FALSE_ALARMS
    assert (rates.regressions(15) or 0) >= 0.9


def test_suite_too_small_for_evidence_never_decides() -> None:
    rates = error_rates(stored(np.ones(10), 3), repeats=3, judged=False, rounds=10)
    assert {(each.regressions, each.not_comparable) for each in rates.rows} == {(0, 1)}


def test_drop_below_a_rate_of_zero_is_left_out() -> None:
    rates = error_rates(
        stored(np.full(60, 0.1), 3), repeats=1, judged=False, drops=(0, 5, 30), rounds=10
    )
    assert [each.drop_points for each in rates.rows] == [0, 5]
    assert badge(rates).startswith("catches a 15-point drop ?,")
    never = error_rates(stored(np.zeros(60), 3), repeats=1, judged=False, rounds=10)
    assert [each.drop_points for each in never.rows] == [0]


def test_repeats_are_the_fewest_with_the_wanted_power() -> None:
    noisy = stored(flaky(0.3, 100), 5)
    repeats, table = repeats_for(noisy, judged=False, rounds=500)
    power = [rates.regressions(15) or 0.0 for rates in table]
    assert [rates.repeats for rates in table] == [1, 2, 3, 5]
    assert repeats == 2
    assert power[0] < 0.9 <= power[1]
    assert repeats_for(noisy, 0.5, judged=False, rounds=500)[0] == 1
    assert repeats_for(stored(flaky(0.9, 50), 5), judged=False, rounds=500)[0] is None


def test_prompt_against_itself_seldom_flips() -> None:
    random = np.random.default_rng(9)
    marks = [
        "".join("+" if p else "-" for p in random.random(6) < chance) for chance in flaky(0.3, 100)
    ]
    cases = [
        case(f"c{number}", each[:3], each[3:], must=number >= 25)
        for number, each in enumerate(marks)
    ]
    assert flips(cases, judged=False, rounds=1_000) <= MOST_FALSE_ALARMS
    assert flips(suite({("+", "+"): 60}), judged=False, rounds=10) == 0
    with pytest.raises(ValueError, match="two repeats"):
        flips(suite({("+", ""): 60}), judged=False)
    with pytest.raises(ValueError, match="No split has a verdict"):
        flips(suite({("+", "-"): DEFAULT.least_cases - 1}), judged=False)


def test_splits_keep_groups_together() -> None:
    """Four groups of identical cases all flip downwards in one split of 16."""
    cases = [
        case(f"{number}-{copy}", before, after, group=str(number))
        for number, (before, after) in enumerate([("+", "-"), ("-", "+")] * 2)
        for copy in range(15)
    ]
    assert flips(cases, judged=False, rounds=1_000) == pytest.approx(1 / 16, abs=0.02)


def test_stored_repeats_of_both_arms_are_pooled() -> None:
    cases = singles(worse=1, cases=2)
    both = stored_repeats(cases, arm="both")
    assert [[o.passed for o in each.outcomes] for each in both] == [[True, False], [True, True]]
    assert len(stored_repeats(cases, arm="candidate")[0].outcomes) == 1


def test_badge_never_flatters() -> None:
    rows = (ErrorRate(0, 0.0301, 0.0), ErrorRate(15, 0.9999, 0.0))
    assert badge(ErrorRates(100, 3, 2_000, rows)) == "catches a 15-point drop 99 %, cries wolf 4 %"
    rows = (ErrorRate(0, 0.07, 0.0), ErrorRate(15, 0.57, 0.0))
    assert badge(ErrorRates(100, 3, 100, rows)) == "catches a 15-point drop 57 %, cries wolf 7 %"
