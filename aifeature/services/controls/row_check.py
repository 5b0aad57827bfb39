"""The check for control values that this release lacks, for example after a rollback of the code.

Jobs still run: each such value has a substitute, which the problem's summary names.
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
from aifeature.services.controls import effective, flags
from aifeature.services.controls.switch import STOPPED

TASK: Final = "control.controls"

KINDS: Final = ("prompt_missing", "control_unknown")


@dataclass(frozen=True, slots=True)
class Problem:
    kind: str
    """One of KINDS; also the kind of its alert."""

    slug: str
    summary: str
    """The object, the cause and the substitute."""

    next_step: str


def problems() -> list[Problem]:
    return [problem for row in FeatureControl.objects.order_by("feature") for problem in _of(row)]


def check() -> Found:
    """Open an alert for each problem. Close the alerts of solved ones, and of past throttles."""
    found = problems()
    for problem in found:
        alerts.begin(problem.kind, problem.slug, f"{problem.summary} {problem.next_step}")
    flags.end_past_alerts()
    _end_all_but({(problem.kind, problem.slug) for problem in found})
    if not found:
        return Found(ok=True, result="This release supports the value of every control.")
    return Found(ok=False, result=" ".join(problem.summary for problem in found))


def _of(row: FeatureControl) -> Iterator[Problem]:
    if row.stage not in Stage:
        yield Problem(
            "control_unknown",
            row.feature,
            f"The stage {row.stage!r} of {row.feature} does not exist in this release, so the"
            " feature is off for all users.",
            "Choose another stage in admin, Features, or deploy a release that has it.",
        )
    if row.kill_mode not in KillMode:
        yield Problem(
            "control_unknown",
            row.feature,
            f"The kill mode {row.kill_mode!r} of {row.feature} does not exist in this release, so"
            " jobs of the stopped feature are held.",
            "Pull its kill switch again and choose, or deploy a release that has it.",
        )
    feature = registry.find(row.feature)
    if feature and (why := prompts.incompatibility(row.feature, row.prompt_version)):
        version = row.prompt_version
        yield Problem(
            "prompt_missing",
            row.feature,
            f"The active prompt of {row.feature} is {version}, which this release cannot use:"
            f" {why}. Its jobs run with {effective.prompt_version(feature)}.",
            f"Deploy a release that has {version}, or choose another version in admin, Features.",
        )


def _end_all_but(found: set[tuple[str, str]]) -> None:
    """Close alerts of solved problems and of released switches.

    A release closes the switch's alerts itself, but may fail to.
    """
    for alert in Alert.objects.filter(kind__in=KINDS, closed_at=None):
        if (alert.kind, alert.subject) not in found:
            alerts.end(alert.kind, alert.subject)
    killed = FeatureControl.objects.filter(killed=True).values("feature")
    released = Alert.objects.filter(~Q(subject__in=killed), kind__in=STOPPED, closed_at=None)
    for alert in released:
        alerts.end(alert.kind, alert.subject)
