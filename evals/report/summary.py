"""The summary of a run for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import Sum

from aifeature import shares
from evals.harness import costs, plan
from evals.models import Run
from evals.report import words
from evals.statistics.findings import p_value
from evals.statistics.rules import DEFAULT


def summary(run: Run, verdict: Mapping[str, Any], *, against: str | None = None) -> list[str]:
    """Return the verdict of a run and the figures that led to it, a line each.

    Args:
        run: The run of the candidate.
        verdict: The verdict as it is stored. `plain_rate` and `gate` may be absent.
        against: Version of the baseline, if the verdict compares with another run's candidate.
    """
    spent = run.samples.aggregate(spent=Sum("cost_micro"))["spent"] or 0
    return list(lines(run, verdict, spent_micro=spent, against=against))


def lines(
    run: Run, verdict: Mapping[str, Any], *, spent_micro: int, against: str | None = None
) -> Iterator[str]:
    yield words.headline(run, verdict, against=against)
    yield from (f"  {reason}" for reason in verdict["reasons"])
    yield from _rates(run, verdict, against)
    if failures := words.floor_failures(verdict):
        yield f"Floor {words.floor(verdict['floor'])}: {failures}"
    yield from _comparison(verdict)
    if valid := words.first_answers(verdict):
        yield f"First answers that are valid: {valid}"
    if verdict["must_broken"]:
        yield f"Must cases broken: {', '.join(verdict['must_broken'])}"
    if churn := words.churn(verdict):
        yield f"Both passes and failures: {churn}"
    if differing := words.differing(verdict["tags"]):
        found = "; ".join(map(words.tag_difference, differing))
        yield f"Tags that differ, corrected by Holm: {found}"
    if verdict["unscored_share"]:
        yield f"Unscored: {shares.percent(verdict['unscored_share'])} of repeats"
    if (ahead := words.points_over_plain(verdict)) is not None:
        verb = "beats" if ahead >= 0 else "is behind"
        plain = shares.percent(verdict["plain_rate"])
        yield f"The candidate {verb} plain by {abs(ahead):.0f} points ({plain})"
    yield (
        f"Spent: {costs.dollars(spent_micro)} (estimated {costs.dollars(run.estimate_micro)},"
        f" at most {costs.dollars(run.cap_micro)})"
    )
    yield from _gate(run, verdict)
    if run.provider == "sandbox":
        yield words.SANDBOX


def _rates(run: Run, verdict: Mapping[str, Any], against: str | None) -> Iterator[str]:
    named = {
        plan.CANDIDATE: run.arms[plan.CANDIDATE]["version"],
        plan.BASELINE: against or run.arms.get(plan.BASELINE, {}).get("version", ""),
    }
    for arm, version in named.items():
        if figures := verdict[arm]:
            rate, interval = shares.percent(figures["rate"]), shares.span(figures["interval"])
            yield f"{arm.capitalize()} {version}: {rate} ({interval})"


def _comparison(verdict: Mapping[str, Any]) -> Iterator[str]:
    if (difference := verdict["difference_points"]) is not None:
        interval = verdict["difference_interval"]
        span = (
            f" ({shares.points(interval['low'])} to {shares.points(interval['high'])})"
            if interval
            else ""
        )
        tested = f"; {verdict['test']}: {p_value(verdict['p'])}" if _is_tested(verdict) else ""
        yield f"Difference: {shares.points(difference)} points{span}{tested}"
    if (score := verdict["score_difference"]) is not None:
        yield f"Difference of the mean score: {score:+.3f}"
    if drop := words.smallest_drop(verdict):
        yield f"Smallest drop seen with 90% power: {drop}"


def _is_tested(verdict: Mapping[str, Any]) -> bool:
    return verdict["test"] is not None and verdict["p"] is not None


def _gate(run: Run, verdict: Mapping[str, Any]) -> Iterator[str]:
    if (flips := verdict.get("flips")) is not None:
        yield (
            f"The verdict flips to a regression in {flips:.1%} of random splits of these repeats"
            " (aim: at most 5.0%)"
        )
    elif run.kind == Run.Kind.SAME and "flips" in verdict:
        yield (
            f"How often the verdict flips is not known: {DEFAULT.least_cases} cases with two"
            " repeats are needed"
        )
    if gate := verdict.get("gate"):
        yield f"The gate {gate['badge']}"
    elif "gate" in verdict:
        yield f"The gate's error rates are not known: {words.NO_GATE}"
