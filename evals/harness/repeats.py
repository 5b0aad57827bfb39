"""The number of repeats that a comparison needs, from how much answers varied before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aifeature.services import controls
from aifeature.services.promotion import subjects
from aifeature.spec import Feature
from aifeature.suites import Suite
from evals.harness import conclude, plan
from evals.models import Run
from evals.statistics import power
from evals.statistics.rules import DEFAULT

UNKNOWN: Final = plan.USUAL_REPEATS

_USUAL: Final = f"{UNKNOWN} repeats find a drop of 15 points in most suites of 100 cases."

ROUNDS: Final = 500
"""Rounds of simulation for each number of repeats: the power is exact to about 2 points."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The number of repeats, and why."""

    repeats: int
    why: str
    """A sentence."""
    rates: tuple[power.ErrorRates, ...] = ()
    """The error rates of each number. Empty: no earlier run has repeats of these cases."""


def choose(feature: Feature, suite: Suite) -> Choice:
    """Return the smallest number of repeats with the wanted power for this suite."""
    earlier = _newest(feature, suite)
    if earlier is None:
        return Choice(UNKNOWN, f"No earlier run has repeats of these cases. {_USUAL}")
    stored = power.stored_repeats(conclude.outcomes(earlier), arm="candidate")
    try:
        found, rates = power.repeats_for(stored, judged=bool(earlier.judge), rounds=ROUNDS)
    except ValueError:
        return Choice(UNKNOWN, f"The run {earlier.pk} has too few cases with two scores. {_USUAL}")
    target = f"{DEFAULT.target_drop_points:g} points"
    if all(each.regressions(DEFAULT.target_drop_points) is None for each in rates):
        return Choice(UNKNOWN, f"Fewer cases pass than a drop of {target} takes. {_USUAL}")
    if found is None:
        most = max(power.REPEATS)
        more = "The suite needs more independent cases."
        return Choice(most, f"{most} repeats do not find a drop of {target}. {more}", rates)
    aim = f"a drop of {target} with {DEFAULT.wanted_power:.0%} power"
    return Choice(found, f"The fewest that find {aim}, by the run {earlier.pk}.", rates)


def _newest(feature: Feature, suite: Suite) -> Run | None:
    return (
        Run.objects.filter(
            feature=feature.slug,
            suite_hash=suite.hash,
            scorer_hash=subjects.scorer_hash(feature),
            provider=controls.live.provider(),
            state=Run.State.ENDED,
            repeats__gt=1,
        )
        .order_by("-created_at")
        .first()
    )
