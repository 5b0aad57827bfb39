"""Control rows that this release cannot follow, as they are left by a rollback of the code.

Jobs run all the same: each value has a stand-in, which the summary of its problem names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db.models import Q

from aifeature import prompts, registry
from aifeature.models import Alert, FeatureControl, KillMode, Stage
from aifeature.services.alerting import alerts
from aifeature.services.alerting.check_runs import Found
from aifeature.services.controls.switch import STOPPED

TASK: Final = "control.controls"

KINDS: Final = ("prompt_missing", "control_unknown")


@dataclass(frozen=True, slots=True)
class Problem:
    """A value of a control row that this release does not know."""

    kind: str
    """One of KINDS, which is also the kind of its alert."""

    slug: str
    summary: str
    """The object, the cause and what happens meanwhile."""

    next_step: str


def problems() -> list[Problem]:
    """Return each value of a control row that this release cannot follow."""
    return [problem for row in FeatureControl.objects.order_by("feature") for problem in _of(row)]


def check() -> Found:
    """Open an alert for each problem, and end those of problems that are over."""
    found = problems()
    for problem in found:
        alerts.begin(problem.kind, problem.slug, f"{problem.summary} {problem.next_step}")
    _end_all_but({(problem.kind, problem.slug) for problem in found})
    if not found:
        return Found(ok=True, result="This release can follow every control.")
    return Found(ok=False, result=" ".join(problem.summary for problem in found))


def _of(row: FeatureControl) -> Iterator[Problem]:
    if row.stage not in Stage:
        yield Problem(
            "control_unknown",
            row.feature,
            f"This release does not know the stage {row.stage!r} of {row.feature}, so it is off for"
            " all users.",
            "Choose another stage in admin, Features, or deploy a release that knows it.",
        )
    if row.kill_mode not in KillMode:
        yield Problem(
            "control_unknown",
            row.feature,
            f"This release does not know what {row.kill_mode!r} means for jobs of {row.feature}"
            " while it is stopped, so they are held.",
            "Pull its kill switch again and choose, or deploy a release that knows it.",
        )
    feature = registry.find(row.feature)
    if feature and (why := prompts.why_not(row.feature, row.prompt_version)):
        version = row.prompt_version
        yield Problem(
            "prompt_missing",
            row.feature,
            f"The active prompt of {row.feature} is {version}, which this release cannot use:"
            f" {why}. Its jobs run with {feature.prompt_version}.",
            f"Deploy a release that has {version}, or choose another version in admin, Features.",
        )


def _end_all_but(found: set[tuple[str, str]]) -> None:
    """End alerts of problems that are over, and those of switches that are released.

    A release ends its own alerts; this is for the one that could not.
    """
    for alert in Alert.objects.filter(kind__in=KINDS, closed_at=None):
        if (alert.kind, alert.subject) not in found:
            alerts.end(alert.kind, alert.subject)
    killed = FeatureControl.objects.filter(killed=True).values("feature")
    released = Alert.objects.filter(~Q(subject__in=killed), kind__in=STOPPED, closed_at=None)
    for alert in released:
        alerts.end(alert.kind, alert.subject)
