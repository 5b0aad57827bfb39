"""The rows of weekly runs: planned for each live feature, and ended without a result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, Final

from django.db import transaction
from django.db.models.functions import Now

from aifeature import prompts, registry
from aifeature.services import controls
from aifeature.services.alerting import alerts
from aifeature.services.guards import moderation
from aifeature.services.promotion import gate_check
from aifeature.spec import Feature
from evals.models import WeeklyRun

State = WeeklyRun.State

REGRESSION: Final = "eval_regression"
INCOMPLETE: Final = "eval_incomplete"
MODEL_CHANGED: Final = "model_changed"
KINDS: Final = (REGRESSION, INCOMPLETE, MODEL_CHANGED)
"""The kinds of alerts about weekly runs. Their subject is the feature."""


def live_features() -> list[Feature]:
    """Return the features with a suite whose prompt users get now, with that of moderation."""
    return [feature for feature in registry.all_features().values() if not why_not(feature)]


def why_not(feature: Feature) -> str:
    """Return why a feature has no weekly run, as a sentence; empty if it has one."""
    slug = feature.slug
    if feature.suite is None:
        return f"{slug} has no suite: set `suite` in its feature.py."
    if feature.internal:
        is_used = slug == moderation.SLUG and gate_check.moderated()
        return "" if is_used else f"{slug} is internal, and no open feature uses it."
    if controls.live_version(feature) is None:
        return f"No prompt of {slug} in this release is live. Activate one."
    if controls.stage(feature) in controls.opening.STAFF_ONLY:
        return f"{slug} is open to staff at most. Set its stage in admin, Features."
    return ""


def plan(features: Sequence[Feature], *, slot: date | None = None) -> list[WeeklyRun]:
    """Store a weekly run of each feature, unless one is under way. Return those under way.

    `slot` is the day of the schedule. A second run of a feature for the same day is not stored.
    """
    rows = []
    for feature in features:
        if version := controls.live_version(feature):
            hash_ = prompts.get(feature.slug, version).hash
            rows.append(
                WeeklyRun(feature=feature.slug, slot=slot, version=version, prompt_hash=hash_)
            )
    WeeklyRun.objects.bulk_create(rows, ignore_conflicts=True)
    slugs = [feature.slug for feature in features]
    return list(under_way().filter(feature__in=slugs))


def under_way() -> Any:
    """Return the runs that have not ended, those first that no step reached for the longest."""
    return WeeklyRun.objects.filter(state__in=WeeklyRun.UNDER_WAY).order_by("driven_at", "pk")


def give_up(weekly: WeeklyRun, why: str) -> bool:
    """End a run without a result, and alert on-call. Return False if it has already ended.

    `why` is a sentence with the cause and the next step.
    """
    with transaction.atomic():
        open_row = WeeklyRun.objects.filter(pk=weekly.pk, state__in=WeeklyRun.UNDER_WAY)
        if not open_row.update(state=State.INCOMPLETE, note=why, ended_at=Now()):
            return False
        alarm = " Its first run is an alarm that nothing has confirmed." if _alarmed(weekly) else ""
        text = (
            f"The regression run of {weekly.feature} {weekly.version} has no result. {why}{alarm}"
            f" Repeat it: python -m evals weekly {weekly.feature}"
        )
        alerts.begin(INCOMPLETE, weekly.feature, text, dict(_ids(weekly)))
        alerts.begin_or_renew(INCOMPLETE, weekly.feature, text)
    return True


def _alarmed(weekly: WeeklyRun) -> bool:
    return weekly.state == State.CONFIRMING


def _ids(weekly: WeeklyRun) -> Iterator[tuple[str, str]]:
    for name in ("run", "confirmation"):
        if found := getattr(weekly, f"{name}_id"):
            yield name, str(found)


def end_alerts_of_others(features: Sequence[Feature]) -> None:
    """Close the alerts about features that have no weekly run any more."""
    slugs = {feature.slug for feature in features}
    for alert in alerts.still_open():
        if alert.kind in KINDS and alert.subject not in slugs:
            alerts.end(alert.kind, alert.subject)
