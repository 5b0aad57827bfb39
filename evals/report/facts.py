"""The figures below the headline of a run, for its report and for admin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aifeature import shares
from evals.harness import costs, plan
from evals.models import Run
from evals.report import words
from evals.statistics.findings import p_value

COMPARED: Final = (plan.CANDIDATE, plan.BASELINE)


def of_run(run: Run, *, spent_micro: int) -> Iterator[tuple[str, str, str]]:
    """Yield the name, value and remark of each figure."""
    if run.verdict is not None:
        yield from _of_verdict(run.verdict)
    yield (
        "Spent",
        costs.dollars(spent_micro),
        f"estimated {costs.dollars(run.estimate_micro)}, at most {costs.dollars(run.cap_micro)}",
    )


def _of_verdict(verdict: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if (difference := verdict["difference_points"]) is not None:
        interval = verdict["difference_interval"]
        remark = (
            f"{shares.points(interval['low'])} to {shares.points(interval['high'])}"
            if interval
            else ""
        )
        yield "Difference", f"{shares.points(difference)} points", remark
    if verdict["p"] is not None:
        yield "Test", p_value(verdict["p"]), verdict["test"] or ""
    if (score := verdict["score_difference"]) is not None:
        yield "Mean score", f"{score:+.3f}", "candidate minus baseline, from 0 to 1"
    if valid := words.first_answers(verdict):
        yield "Valid first answers", valid, "a repair costs a second call"
    if drop := words.smallest_drop(verdict):
        yield "Smallest drop seen", drop, "with 90% power"
    if failures := words.floor_failures(verdict):
        yield "Floor", words.floor(verdict["floor"]), failures
    if broken := verdict["must_broken"]:
        yield "Must cases broken", str(len(broken)), ", ".join(broken)
    yield from _of_repeats(verdict)
    yield (
        "Evidence",
        words.count(verdict["cases"], "case"),
        f"{words.count(verdict['groups'], 'group')}, {words.count(verdict['repeats'], 'repeat')}",
    )
    if (ahead := words.points_over_plain(verdict)) is not None:
        remark = f"which passes {shares.percent(verdict['plain_rate'])}"
        yield "Above the plain answer", f"{shares.points(ahead)} points", remark
    if verdict["unscored_share"]:
        yield "Unscored", shares.percent(verdict["unscored_share"]), "of repeats"


def _of_repeats(verdict: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield how much repeats of a case differ, and what follows for the gate."""
    flaky = [verdict[arm]["churn"] if verdict[arm] else None for arm in COMPARED]
    if flaky[0] is not None:
        remark = "" if flaky[1] is None else f", {shares.percent(flaky[1])} in the baseline"
        yield "Flaky cases", shares.percent(flaky[0]), f"in the candidate{remark}"
    if (flips := verdict.get("flips")) is not None:
        remark = "to a regression, of random splits (aim: at most 5%)"
        yield "Verdict flips", shares.percent(flips), remark
    if "gate" in verdict and not verdict["gate"]:
        yield "The gate's error rates", "not known", words.NO_GATE
