"""Twelve weekly evaluations of each feature, with one regression and its recovery.

The rates are those of the recorded evidence, so that the next real run continues the series.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from typing import Any, Final

from aifeature import prompts, registry, suites
from aifeature.models import Evidence
from aifeature.services.promotion import activations, subjects
from aifeature.spec import Feature
from aifeature.suites import Suite
from evals.models import Run, Sample, WeeklyRun
from project.demo_data import history, incidents, tables
from project.demo_data.rhythm import Share
from project.demo_data.story import ANSWER, SUMMARIZE, TRIAGE, Story

REGRESSED: Final = 4
"""Number of the run of `summarize` that found a regression, counted from 0."""

DROP: Final = 0.125
TOOK: Final = timedelta(minutes=9)
Z: Final = 1.96
SAMPLE_MICRO: Final = 2_100

ALONE: Final[dict[str, Any]] = {
    "baseline": None,
    "compared_with": "",
    "decision": "pass",
    "difference_interval": None,
    "difference_points": None,
    "failure": False,
    "flips": None,
    "gate": None,
    "p": None,
    "plain_rate": None,
    "reasons": [],
}
"""Other values in the verdict of the run itself: its floor alone decides, and it reaches that."""

State = WeeklyRun.State


@dataclass(frozen=True, slots=True)
class _Week:
    """One weekly run of one feature, before it is stored."""

    number: int
    at: datetime
    version: str
    rate: float
    base: float
    """Rate at the activation."""


def write(story: Story, operator: Any, *, weeks: int, seed: int = 18) -> int:
    """Write the runs of the last `weeks` weeks. Return their number."""
    rng = random.Random(f"{seed} weeks")  # noqa: S311 (synthetic data)
    mondays, count = story.mondays(), 0
    for slug in (ANSWER, TRIAGE, SUMMARIZE):
        feature = registry.get(slug)
        suite = suites.load(feature)
        versions = {at: _version(story, slug, at) for at in mondays}
        proofs = {each: history.recorded(slug, each) for each in set(versions.values())}
        series = _Series(feature, suite, proofs, operator)
        for number, at in list(enumerate(mondays))[-weeks:]:
            version = versions[at]
            base = proofs[version].verdict["candidate"]["rate"]
            worse = DROP if (slug, number) == (SUMMARIZE, REGRESSED) else 0.0
            rate = max(0.02, base - worse + rng.uniform(-0.012, 0.012))
            series.add(_Week(number, at, version, rate, base))
            count += 1
    return count


def _version(story: Story, slug: str, at: datetime) -> str:
    if slug == ANSWER:
        return "v2" if at >= story.answer_changed else "v1"
    if slug == TRIAGE:
        return "v1"
    return "v3" if at >= story.summarize_changed else "v2"


class _Series:
    """Writes the runs of one feature."""

    def __init__(
        self, feature: Feature, suite: Suite, proofs: dict[str, Evidence], operator: Any
    ) -> None:
        """`proofs` has the recorded evidence of each version."""
        self._feature, self._suite, self._proofs = feature, suite, proofs
        self._operator = operator
        self._cases = {
            "cases": [case.model_dump(mode="json") for case in suite.cases],
            "about": suite.about.model_dump(mode="json"),
        }
        self._before = ""

    def add(self, week: _Week) -> None:
        """Write one run, its evidence, and its row in the series."""
        proof = self._proofs[week.version]
        is_worse = week.base - week.rate > 0.1  # noqa: PLR2004 (ten points)
        verdict = self._verdict(proof.verdict, week, is_worse=is_worse)
        run = self._run(proof, week, verdict, week.at)
        fresh = self._run(proof, week, verdict, week.at + TOOK) if is_worse else None
        kept = history.evidence(
            proof, {**verdict}, at=week.at + TOOK, origin=Evidence.Origin.WEEKLY
        )
        activation = activations.row_of_prompt(self._feature.slug, proof.prompt_hash)
        WeeklyRun.objects.create(
            feature=self._feature.slug,
            slot=week.at.date(),
            state=State.CONFIRMED if is_worse else State.PASSED,
            version=week.version,
            prompt_hash=proof.prompt_hash,
            run=run,
            confirmation=fresh,
            verdict=verdict,
            confirmation_verdict=verdict if is_worse else None,
            baseline_evidence=activation.evidence_id if activation else None,
            baseline_note="The evidence with which it became live.",
            evidence=kept.pk,
            answered_by=proof.answered_by,
            marks=self._marks(week),
            action="notify" if is_worse else "",
            note=self._words(week) if is_worse else "No regression.",
            created_at=week.at,
            driven_at=week.at + TOOK,
            ended_at=week.at + (2 if is_worse else 1) * TOOK,
        )
        if is_worse:
            ends = week.at + timedelta(weeks=1) + TOOK
            incidents.regression(week.at + 2 * TOOK, ends, self._words(week), self._operator)
        self._before = week.version

    def _marks(self, week: _Week) -> list[dict[str, str]]:
        if self._before in {"", week.version}:
            return []
        return [{"kind": "prompt", "text": f"{self._before} was replaced by {week.version}."}]

    def _words(self, week: _Week) -> str:
        return (
            f"{self._feature.slug} {week.version} is worse than at its activation, in two runs:"
            f" {week.rate:.1%} pass, and {week.base:.1%} in its baseline. Nothing was changed, as"
            " its controls say: roll it back, stop it, or improve the prompt."
        )

    def _verdict(self, like: dict[str, Any], week: _Week, *, is_worse: bool) -> dict[str, Any]:
        """Return the verdict of a run with this rate, in the form of a recorded one."""
        points = 100 * (week.rate - week.base)
        spread = 100 * Z * sqrt(2 * week.rate * (1 - week.rate) / like["groups"]) / 2
        return {
            **like,
            "candidate": arm(like["candidate"], week.rate, like["groups"]),
            "baseline": arm(like["candidate"], week.base, like["groups"]),
            "compared_with": week.version,
            "decision": "regression" if is_worse else "pass",
            "failure": is_worse,
            "difference_points": round(points, 2),
            "difference_interval": {"low": points - spread, "high": points + spread},
            "p": 0.0004 if is_worse else 0.41 + 0.04 * (week.number % 3),
            "floor_rate": week.rate,
            "better": [],
            "worse": [],
            "suspects": [],
            "tags": [],
            "reasons": [f"It passes {-points:.1f} points fewer cases than at its activation."]
            if is_worse
            else [],
        }

    def _run(self, proof: Evidence, week: _Week, verdict: dict[str, Any], at: datetime) -> Run:
        repeats = proof.verdict["repeats"]
        micro = SAMPLE_MICRO * len(self._suite.cases) * repeats
        run = Run.objects.create(
            feature=self._feature.slug,
            kind=Run.Kind.ALONE,
            state=Run.State.ENDED,
            cases=self._cases,
            suite_hash=self._suite.hash,
            arms={"candidate": _prompt(self._feature.slug, week.version)},
            judge=subjects.judge() if self._suite.about.criteria else None,
            scorer_hash=subjects.scorer_hash(self._feature),
            guard_hash=subjects.guard_hash(self._feature),
            provider=proof.provider,
            repeats=repeats,
            estimate_micro=micro,
            cap_micro=5 * micro,
            created_at=at,
            driven_at=at + TOOK,
            ended_at=at + TOOK,
            outputs_deleted_at=at + 2 * TOOK,
            verdict={**verdict, **ALONE},
        )
        tables.copy(Sample, self._samples(run, week.rate))
        return run

    def _samples(self, run: Run, rate: float) -> Iterator[tables.Row]:
        """Yield the repeats of each case. Their outputs are deleted already."""
        share, model = Share(), self._proofs[run.arms["candidate"]["version"]].answered_by[0]
        passes = {case.id: share.takes(rate) for case in self._suite.cases}
        for repeat in range(1, run.repeats + 1):
            for case, is_pass in passes.items():
                yield {
                    "run": run.pk,
                    "arm": "candidate",
                    "case": case,
                    "repeat": repeat,
                    "state": Sample.State.SCORED,
                    "tries": 0,
                    "parts": [],
                    "passed": is_pass,
                    "score": float(is_pass),
                    "problem": "",
                    "model": model,
                    "cost_micro": SAMPLE_MICRO,
                    "attempts": [],
                }


def _prompt(slug: str, version: str) -> dict[str, str]:
    """Return the prompt of a run, as its report shows it."""
    prompt = prompts.get(slug, version)
    return {
        "version": version,
        "hash": prompt.hash,
        "note": prompt.note,
        "system": prompt.system,
        "user": prompt.user,
    }


def arm(like: dict[str, Any], rate: float, groups: int) -> dict[str, Any]:
    """Return the figures of an arm with another pass rate."""
    spread = Z * sqrt(rate * (1 - rate) / groups)
    interval = {"low": max(0.0, rate - spread), "high": min(1.0, rate + spread)}
    return {**like, "rate": rate, "interval": interval}
