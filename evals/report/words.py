"""Figures and verdicts in words, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aifeature.shares import percent, points
from evals import resuming
from evals.harness import plan
from evals.models import Run
from evals.statistics.findings import p_value
from evals.statistics.rules import LEAST_REPEATS

SANDBOX: Final = (
    "The sandbox provider answered. The figures are about the machinery, and not about the quality"
    " of a prompt."
)

NO_GATE: Final = (
    "too few cases have two scored repeats, and a single repeat does not show how much answers vary"
)

UNCHANGED: Final = "unchanged: not run"

ITSELF: Final = "itself"

ALPHA: Final = 0.05
"""Corrected p value below which a tag is shown as different. Tags never decide."""


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 case` or `1,200 cases`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def versions(run: Run, *, against: str | None = None) -> str:
    """Return the compared prompts, such as `answer v2 against v1`."""
    return f"{run.feature} {pair(run, against=against)}"


def pair(run: Run, *, against: str | None = None) -> str:
    """Return the compared versions, such as `v2 against v1`."""
    candidate: str = run.arms[plan.CANDIDATE]["version"]
    baseline = _baseline(run, against)
    return f"{candidate} against {baseline}" if baseline else candidate


def outputs_deleted(run: Run) -> str:
    """Return a sentence about a run whose retention has ended."""
    return f"The outputs of the run {run.pk} were deleted on {run.outputs_deleted_at:%-d %B %Y}."


def resume(run: Run) -> str:
    """Return the command that continues a run."""
    return resuming.command(run.pk)


def abandoned(run: Run) -> str:
    """Return since when no command drives a running run."""
    since = run.driven_at or run.created_at
    return f"no command has worked on it since {since:%Y-%m-%d %H:%M} UTC"


def _baseline(run: Run, against: str | None) -> str | None:
    if against is None and run.kind == Run.Kind.SAME:
        return ITSELF
    return against or run.arms.get(plan.BASELINE, {}).get("version")


def headline(run: Run, verdict: Mapping[str, Any] | None, *, against: str | None = None) -> str:
    """Return the verdict as a sentence after a word and a colon.

    Without a verdict the sentence names the state of the run.
    """
    candidate = f"{run.feature} {run.arms[plan.CANDIDATE]['version']}"
    baseline = _baseline(run, against)
    compared = versions(run, against=against)
    if verdict is None:
        return f"Not finished: there is no verdict on {compared} yet."
    sentences = {
        "pass": f"Pass: {candidate} shows no regression against {baseline}.",
        "regression": f"Regression: {candidate} must not replace {baseline}.",
        "not comparable": f"Not comparable: there is no verdict on {compared}.",
    }
    if baseline is None:
        sentences["pass"] = f"Pass: {candidate} reaches its floor."
        sentences["regression"] = f"Regression: {candidate} does not reach its floor."
    elif baseline == ITSELF:
        sentences["regression"] = f"Regression: {compared}. This verdict is a false alarm."
        if verdict.get("only_below_floor"):
            floor = f"Below the floor: {compared}. No regression was found, so no false alarm."
            sentences["regression"] = floor
    return sentences[verdict["decision"]]


def tag_difference(tag: Mapping[str, Any]) -> str:
    """Return the result of a tag, such as `refunds -25.0 points in 12 cases (p = 0.0120)`."""
    return (
        f"{tag['tag']} {points(tag['difference_points'])} points in"
        f" {count(tag['cases'], 'case')} ({p_value(tag['p_holm'])})"
    )


def differing(tags: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tags whose corrected p value is small, the largest drop first."""
    found = [tag for tag in tags if tag["p_holm"] is not None and tag["p_holm"] < ALPHA]
    return sorted(found, key=lambda tag: float(tag["difference_points"]))


def points_over_plain(verdict: Mapping[str, Any]) -> float | None:
    """Return the candidate's pass rate minus that of the plain answer, in points."""
    plain, candidate = verdict.get("plain_rate"), verdict["candidate"]
    return None if plain is None or candidate is None else float(candidate["rate"] - plain) * 100


def smallest_drop(verdict: Mapping[str, Any]) -> str | None:
    """Return the smallest drop seen, such as `12.3 points`; None if it is not known.

    Without a baseline and with one repeat it is the least that it can be: no noise is known.
    """
    if (drop := verdict["smallest_drop_points"]) is None:
        return None
    is_bound = verdict["baseline"] is None and verdict["repeats"] < LEAST_REPEATS
    return f"{'at least ' if is_bound else ''}{drop:.1f} points"


def first_answers(verdict: Mapping[str, Any]) -> str:
    """Return the share of valid first answers in each arm; empty if no answer was repaired.

    Empty as well if it is unknown in an arm. Verdicts and repeats of earlier releases lack it.
    """
    arms = [verdict[arm] for arm in (plan.CANDIDATE, plan.BASELINE) if verdict[arm]]
    shares = [arm.get("at_once") for arm in arms]
    if None in shares or all(share == 1 for share in shares):
        return ""
    of_baseline = f" (baseline {percent(shares[1])})" if len(shares) > 1 else ""
    return f"{percent(shares[0])}{of_baseline}"


def floor(least: float) -> str:
    """Return a floor, such as `80%` or `82.5%`."""
    return f"{least * 100:.4g}%"


def floor_failures(verdict: Mapping[str, Any]) -> str:
    """Return how often the candidate, and a prompt just at the floor, would fail the floor.

    Empty without a floor. Verdicts of earlier releases do not have it. If cases have a single
    repeat, the noise is the most that it can be, and the figure is a limit.
    """
    if (share := verdict.get("floor_failures")) is None:
        return ""
    often = f"{share:.0%}"
    if not 0.01 <= share <= 0.99:  # noqa: PLR2004 (a small chance is not shown as none)
        often = "less than 1%" if share < 0.01 else "more than 99%"  # noqa: PLR2004
    elif verdict["repeats"] < LEAST_REPEATS:
        limit = "at most" if verdict["floor_rate"] >= verdict["floor"] else "at least"
        often = f"{limit} {often}"
    return (
        f"a prompt with this true rate ({percent(verdict['floor_rate'])}) would fail it in {often}"
        " of runs, and one just at the floor in about half"
    )


def churn(verdict: Mapping[str, Any]) -> str | None:
    """Return the share of cases with passes and failures in each arm; None without repeats."""
    known = [
        f"{percent(verdict[arm]['churn'])} of cases in the {arm}"
        for arm in (plan.CANDIDATE, plan.BASELINE)
        if verdict[arm] and verdict[arm]["churn"] is not None
    ]
    return ", ".join(known) or None
