"""The check of what is live: overrides that expired, deploys that closed a feature."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from aifeature import registry
from aifeature.models import FeatureControl
from aifeature.services import controls
from aifeature.services.alerting import alerts
from aifeature.services.alerting.check_runs import Found
from aifeature.services.controls import row_check
from aifeature.services.promotion import activations

UNPROVEN: Final = "prompt_unproven"
"""Kind of the alert while an open feature serves staff only."""


def check() -> Found:
    """Do the check of controls, bring them in line with what is live, and merge the results."""
    found, problems = row_check.check(), settle_all()
    if not problems:
        return found
    return Found(ok=False, result=" ".join([*([] if found.ok else [found.result]), *problems]))


def settle_all() -> list[str]:
    """Bring controls in line with what is live. Return the problems, a sentence each."""
    found = []
    for control in FeatureControl.objects.order_by("feature"):
        feature = registry.find(control.feature)
        if feature is None or feature.internal:
            continue
        activations.end_expired(control.feature)
        if control.known_stage not in controls.opening.STAFF_ONLY:
            activations.settle(feature)
            _follow(control.feature)
        if activations.open_override(control.feature) is None:
            alerts.end(activations.OVERRIDE, control.feature)
        if problem := unproven(control.feature):
            alerts.begin(UNPROVEN, control.feature, problem)
            found.append(problem)
        else:
            alerts.end(UNPROVEN, control.feature)
    return found


def unproven(slug: str) -> str:
    """Return why an open feature serves staff only; empty if it serves users."""
    controls.clear_cache()
    return why_staff_only(slug, FeatureControl.objects.filter(feature=slug).first())


def why_staff_only(slug: str, control: FeatureControl | None) -> str:
    """Return the same for a control, by what this process has read in the last second."""
    feature = registry.find(slug)
    if feature is None or control is None or feature.internal:
        return ""
    if control.known_stage in controls.opening.STAFF_ONLY:
        return ""
    if controls.live_version(feature) is not None:
        return ""
    version = controls.prompt_version(feature)
    return (
        f"{slug} serves staff only: this release has no prompt of it with evidence for"
        f" {controls.live.provider()}. Evaluate it: {activations.command(slug, version)}"
    )


def at_boot() -> list[str]:
    """Return the problems that a process reports when it starts. It changes nothing."""
    slugs = FeatureControl.objects.values_list("feature", flat=True).order_by("feature")
    return [problem for slug in slugs if (problem := unproven(slug))]


def _follow(slug: str) -> None:
    with transaction.atomic():
        control = FeatureControl.objects.select_for_update().get(feature=slug)
        over = "The override is over, and the last good version is back."
        activations.follow(control, reason=over, check_name="control.controls")
