"""The verdict on a candidate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from evals.statistics import findings, floors
from evals.statistics.by_tag import TagResult
from evals.statistics.comparison import Comparison, comparison_of_halves
from evals.statistics.data import (
    CaseOutcomes,
    Outcome,
    at_once_mean,
    first_answers_are_known,
    pass_mean,
)
from evals.statistics.intervals import Interval, wilson
from evals.statistics.rules import (
    DEFAULT,
    LEAST_REPEATS,
    MUST_REPEATS,
    MUST_SHARE,
    Rules,
    shows_churn,
)


class Decision(StrEnum):
    PASS = "pass"  # noqa: S105  # a verdict
    REGRESSION = "regression"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True, slots=True)
class Arm:
    """The figures of one arm."""

    rate: float
    """Mean over cases of the share of passes among a case's repeats."""
    interval: Interval
    """Wilson's interval at 95 % of the rate. Its sample size is the number of cases."""
    churn: float | None
    """Share of cases with both passes and failures. None if too few cases have two repeats."""
    at_once: float | None
    """Mean over cases of the share of valid first answers among a case's repeats. None if that of a
    repeat is unknown."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision and the figures that led to it. Figures that do not exist are None."""

    decision: Decision
    reasons: tuple[str, ...]
    """Sentences, the deciding ones first. Empty if the candidate passes without remarks."""
    baseline: Arm | None
    candidate: Arm | None
    difference_points: float | None
    """Candidate minus baseline of the pass rate, in percentage points."""
    difference_interval: Interval | None
    """The interval at 95 % of `difference_points`, clustered by group."""
    score_difference: float | None
    """Candidate minus baseline of the mean score, from -1 to 1, for a suite with a judge."""
    test: str | None
    p: float | None
    p_at_once: float | None
    """The p value of the valid first answers. None as well if that of a repeat is unknown."""
    must_broken: tuple[str, ...]
    suspects: tuple[str, ...]
    """`must` cases that need fresh repeats before a verdict is possible."""
    worse: tuple[str, ...]
    """Cases with a lower share of passes than in the baseline."""
    better: tuple[str, ...]
    churning: tuple[str, ...]
    """Cases with both passes and failures in one arm."""
    suspicious: bool
    only_below_floor: bool
    """Whether the floor alone makes it a regression, and nothing shows a change."""
    floor: float | None
    """The floor in force. None if none is set."""
    floor_rate: float | None
    """The candidate's pass rate that the floor is compared with: that of all cases with an outcome
    of the candidate. Cases without one of the baseline are no part of `candidate`."""
    floor_failures: float | None
    """Share of further runs in which a prompt with this true rate would fail the floor."""
    smallest_drop_points: float | None
    """The smallest drop that this comparison finds with the wanted power."""
    tags: tuple[TagResult, ...]
    cases: int
    """Cases with outcomes in both arms."""
    groups: int
    repeats: int
    """The smallest number of repeats of a case in an arm."""
    unscored_share: float


def suspects(cases: Sequence[CaseOutcomes]) -> tuple[str, ...]:
    """Return the ids of `must` cases that need fresh repeats of the candidate now.

    Such a case passed in at least three repeats of the baseline, in all of fewer than ten, and
    failed in each of at least three of the candidate. It stays suspected until one fresh repeat
    passes or three failed.
    """
    return tuple(
        each.id
        for each in cases
        if _seems_broken(each)
        and len(each.fresh) < MUST_REPEATS
        and not any(outcome.passed for outcome in each.fresh)
    )


def is_broken(case: CaseOutcomes) -> bool:
    """Return whether a `must` case broke, and fresh repeats confirm it."""
    return (
        _seems_broken(case)
        and len(case.fresh) >= MUST_REPEATS
        and not any(outcome.passed for outcome in case.fresh)
    )


def _seems_broken(case: CaseOutcomes) -> bool:
    return (
        case.must
        and min(len(case.baseline), len(case.candidate)) >= MUST_REPEATS
        and _usually_passes(case.baseline)
        and not any(outcome.passed for outcome in case.candidate)
    )


def _usually_passes(baseline: tuple[Outcome, ...]) -> bool:
    return pass_mean(baseline) >= MUST_SHARE - findings.ROUNDING


def _lacks_repeats(case: CaseOutcomes) -> bool:
    """Return whether unscored repeats hide if a `must` case is broken."""
    return (
        case.must
        and min(len(case.baseline), len(case.candidate)) < MUST_REPEATS
        and (not case.baseline or _usually_passes(case.baseline))
        and not any(outcome.passed for outcome in case.candidate)
    )


def decide(
    cases: Sequence[CaseOutcomes],
    *,
    judged: bool,
    floor: float,
    unscored: int,
    total: int,
    blocked: Sequence[str] = (),
    broken_before: Sequence[str] = (),
    doubts: Sequence[str] = (),
    rules: Rules = DEFAULT,
) -> Verdict:
    """Return the verdict on a candidate.

    Args:
        cases: The scored repeats. A case with outcomes in one arm only counts as unscored.
        judged: Whether a judge scores. Then the test compares scores, and otherwise passes.
        floor: The least pass rate of the candidate, from 0 to 1.
        unscored: The number of repeats that could not be scored, in both arms.
        total: The number of repeats in both arms, with the unscored ones. Fresh repeats are in
            neither number.
        blocked: Sentences on why the arms do not compare, found outside of the outcomes.
        broken_before: The ids of `must` cases that broke in one run of a pool. They stay broken.
        doubts: Sentences on what a pool does not show. `pooled.judge` finds both.
        rules: The limits.

    A regression is a p value below `alpha`; or first answers that are valid less often, with a p
    value below `at_once_alpha`; or a drop of at least `drop_points` with a p value
    below `drop_alpha`; or a broken `must` case; or a pass rate below the floor.

    The verdict is not comparable if too many repeats are unscored, or too few cases or groups
    exist. It is not comparable either if none of the rules finds a regression, but a suspected
    `must` case lacks fresh repeats or scored ones, the validity of a first answer is unknown, or
    noise can explain a drop of at least `drop_points`. So a drop of ten points never passes, and
    noise that reaches ten points is no regression.

    Without a change, at most 5 % of verdicts are regressions. The tests simulate it.

    Raises:
        ValueError: The floor is no share, or the number of unscored repeats exceeds the total.
    """
    if not 0 <= floor <= 1:
        raise ValueError(f"The floor is a share from 0 to 1, not {floor}.")
    if not 0 <= unscored <= total:
        raise ValueError(f"{unscored} unscored repeats of {total} are impossible.")
    paired = [each for each in cases if each.baseline and each.candidate]
    lost = sum(
        len(each.baseline) + len(each.candidate)
        for each in cases
        if not (each.baseline and each.candidate)
    )
    share = min(1.0, (unscored + lost) / total) if total else 0.0
    comparison = Comparison.of(paired, judged=judged) if paired else None
    baseline = _arm([each.baseline for each in paired or cases])
    candidate = _arm([each.candidate for each in paired or cases])
    broken = tuple(each.id for each in paired if is_broken(each))
    lasting = tuple(case for case in broken_before if case not in broken)
    suspected = tuple(case for case in suspects(paired) if case not in lasting)
    blocking = [*blocked, *findings.unscored(share, rules), *findings.too_few(comparison, rules)]
    regressed = [f"The case {case} may never break, and it broke." for case in broken]
    regressed += findings.broken_before(lasting)
    undecided = [f"The case {case} may be broken. It needs fresh repeats." for case in suspected]
    undecided += [
        f"The case {each.id} may never break, and too few of its repeats are scored."
        for each in cases
        if _lacks_repeats(each)
    ]
    remarks: list[str] = []
    if comparison:
        regressed = [*findings.regressed(comparison, rules), *regressed]
        undecided = [
            *findings.noisy_drop(comparison, rules),
            *findings.unknown_first_answers(comparison),
            *undecided,
        ]
        remarks = [*findings.suspicious(comparison, rules)]
    undecided = [*doubts, *undecided]
    changed = bool(regressed)
    compared = floors.compare([each.candidate for each in cases], floor)
    if compared:
        regressed += findings.below_floor(compared.rate, floor)
    return Verdict(
        decision=_decision(blocking, regressed, undecided),
        reasons=(*blocking, *regressed, *undecided, *remarks),
        baseline=baseline,
        candidate=candidate,
        difference_points=comparison.points if comparison else None,
        difference_interval=comparison.interval() if comparison else None,
        score_difference=float(comparison.tested.mean()) if comparison and judged else None,
        test=comparison.test if comparison else None,
        p=comparison.p if comparison else None,
        p_at_once=comparison.p_at_once if comparison else None,
        must_broken=(*broken, *lasting),
        suspects=suspected,
        worse=_ids(paired, lambda each: pass_mean(each.candidate) < pass_mean(each.baseline)),
        better=_ids(paired, lambda each: pass_mean(each.candidate) > pass_mean(each.baseline)),
        churning=_ids(paired, lambda each: _churns(each.baseline) or _churns(each.candidate)),
        suspicious=bool(remarks),
        only_below_floor=bool(regressed) and not changed,
        floor=floor or None,
        floor_rate=compared.rate if compared else None,
        floor_failures=compared.failures if compared else None,
        smallest_drop_points=comparison.smallest_drop(rules) if comparison else None,
        tags=comparison.by_tag(paired) if comparison else (),
        cases=len(paired),
        groups=comparison.groups.count if comparison else 0,
        repeats=min((min(len(e.baseline), len(e.candidate)) for e in paired), default=0),
        unscored_share=share,
    )


def _decision(
    blocking: Sequence[str], regressed: Sequence[str], undecided: Sequence[str]
) -> Decision:
    if blocking:
        return Decision.NOT_COMPARABLE
    if regressed:
        return Decision.REGRESSION
    return Decision.NOT_COMPARABLE if undecided else Decision.PASS


def _arm(outcomes: Sequence[tuple[Outcome, ...]]) -> Arm | None:
    scored = [each for each in outcomes if each]
    if not scored:
        return None
    rate = sum(pass_mean(each) for each in scored) / len(scored)
    repeated = [each for each in scored if len(each) >= LEAST_REPEATS]
    is_known = shows_churn([len(each) for each in scored])
    churn = sum(map(_churns, repeated)) / len(repeated) if is_known else None
    known = first_answers_are_known(outcome for each in scored for outcome in each)
    at_once = sum(at_once_mean(each) for each in scored) / len(scored) if known else None
    return Arm(rate, wilson(rate, len(scored)), churn, at_once)


def _churns(outcomes: tuple[Outcome, ...]) -> bool:
    return len({outcome.passed for outcome in outcomes}) > 1


def _ids(cases: Sequence[CaseOutcomes], chosen: Callable[[CaseOutcomes], bool]) -> tuple[str, ...]:
    return tuple(each.id for each in cases if chosen(each))


def alone(
    cases: Sequence[CaseOutcomes],
    *,
    judged: bool,
    floor: float,
    unscored: int,
    total: int,
    blocked: Sequence[str] = (),
    broken_before: Sequence[str] = (),
    doubts: Sequence[str] = (),
    rules: Rules = DEFAULT,
) -> Verdict:
    """Return the verdict on a candidate without a baseline: only its floor decides.

    The arguments are those of `decide`. `baseline` of the cases is ignored. The smallest drop is
    that of a comparison with as many repeats of a baseline that varies as much.
    """
    scored = [each for each in cases if each.candidate]
    candidate = _arm([each.candidate for each in scored])
    share = min(1.0, unscored / total) if total else 0.0
    blocking = [*blocked, *findings.unscored(share, rules)]
    drop = comparison_of_halves(scored, judged=judged).smallest_drop(rules) if scored else None
    if len(scored) < rules.least_cases:
        blocking.append(
            f"The suite has {len(scored)} cases. Evidence needs at least {rules.least_cases}."
            f" {findings.unseen(drop, rules)}"
        )
    regressed = [*findings.broken_before(broken_before)]
    compared = floors.compare([each.candidate for each in scored], floor)
    if compared:
        regressed += findings.below_floor(compared.rate, floor)
    return Verdict(
        decision=_decision(blocking, regressed, doubts),
        reasons=(*blocking, *regressed, *doubts),
        baseline=None,
        candidate=candidate,
        difference_points=None,
        difference_interval=None,
        score_difference=None,
        test=None,
        p=None,
        p_at_once=None,
        must_broken=tuple(broken_before),
        suspects=(),
        worse=(),
        better=(),
        churning=_ids(scored, lambda each: _churns(each.candidate)),
        suspicious=False,
        only_below_floor=bool(regressed) and not broken_before,
        floor=floor or None,
        floor_rate=compared.rate if compared else None,
        floor_failures=compared.failures if compared else None,
        smallest_drop_points=drop,
        tags=(),
        cases=len(scored),
        groups=len({each.group for each in scored}),
        repeats=min((len(each.candidate) for each in scored), default=0),
        unscored_share=share,
    )
