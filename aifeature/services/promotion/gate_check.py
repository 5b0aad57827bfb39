"""The check of what is live: overrides that expired, deploys that closed a feature.

An internal feature has no stage and no gate. The prompt of `moderation` must pass all the same
while an open feature has its answers moderated: otherwise on-call is alerted.
"""

from __future__ import annotations

from typing import Final

from django.db import transaction

from aifeature import prompts, registry
from aifeature.models import FeatureControl
from aifeature.services import controls
from aifeature.services.alerting import alerts
from aifeature.services.alerting.check_runs import Found
from aifeature.services.controls import row_check
from aifeature.services.guards import moderation
from aifeature.services.promotion import activations, evidence
from aifeature.spec import Moderation

UNPROVEN: Final = "prompt_unproven"
"""Kind of the alert while an open feature serves staff only, or its moderation is unproven."""


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
    if problem := unproven_moderation():
        alerts.begin(UNPROVEN, moderation.SLUG, problem)
        found.append(problem)
    else:
        alerts.end(UNPROVEN, moderation.SLUG)
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


def moderated() -> list[str]:
    """Return the slugs of the features, open to more than staff, with moderation."""
    found = []
    for control in FeatureControl.objects.order_by("feature"):
        feature = registry.find(control.feature)
        if feature is None or feature.internal:
            continue
        is_open = control.known_stage not in controls.opening.STAFF_ONLY
        if is_open and feature.guards.moderation is not Moderation.NEVER:
            found.append(feature.slug)
    return found


def unproven_moderation() -> str:
    """Return that the prompt of `moderation` has no evidence with this provider.

    The newest evidence of exactly this prompt counts, of any age and under any conditions. Empty:
    it passed, or no open feature has moderation.
    """
    feature = registry.find(moderation.SLUG)
    if feature is None or not (slugs := moderated()):
        return ""
    controls.clear_cache()
    version, provider = controls.prompt_version(feature), controls.live.provider()
    hash_ = prompts.get(feature.slug, version).hash
    newest = evidence.newest_of_prompt(feature.slug, provider, hash_).defer("outcomes").first()
    if newest is not None and newest.passed:
        return ""
    what = "did not pass" if newest else "has no evidence"
    return (
        f"{feature.slug} {version}, which reads answers of {', '.join(slugs)}, {what} with"
        f" {provider}. Evaluate it: {activations.command(feature.slug, version)}"
    )


def at_boot() -> list[str]:
    """Return the problems that a process reports when it starts. It changes nothing."""
    slugs = FeatureControl.objects.values_list("feature", flat=True).order_by("feature")
    return [*filter(None, map(unproven, slugs)), *filter(None, [unproven_moderation()])]


def _follow(slug: str) -> None:
    with transaction.atomic():
        control = FeatureControl.objects.select_for_update().get(feature=slug)
        over = "The override is over, and the last good version is back."
        activations.follow(control, reason=over, check_name="control.controls")
