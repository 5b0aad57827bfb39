"""The canary of a user's job: its arm at submission, and the candidate when it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aifeature.policies.canary import Arm
from aifeature.policies.percent import place_for
from aifeature.services.controls import live
from aifeature.services.controls.cache import Control, cache
from aifeature.services.controls.open_canary import OpenCanary
from aifeature.spec import Feature

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def assigned(feature: Feature, user: User) -> dict[str, Any] | None:
    """Return the step and the arm of a user's next job, for its options; None outside of a canary.

    Staff are in none.
    """
    control = cache.get(feature.slug)
    canary = _served(feature, control)
    if canary is None or user.is_staff:
        return None
    place = place_for(control.seed or feature.slug, canary.purpose, user.pk)
    arm = Arm.CANDIDATE if place < canary.percent else Arm.LIVE
    return {"step": canary.steps[0], "arm": arm.value}


def candidate_of(feature: Feature, chosen: Mapping[str, Any] | None) -> str | None:
    """Return the candidate's version for a job with this step and arm; None: the live version.

    Its canary must still be served.
    """
    if not chosen or chosen.get("arm") != Arm.CANDIDATE:
        return None
    canary = _served(feature, cache.get(feature.slug))
    if canary is None or chosen.get("step") not in canary.steps:
        return None
    return canary.candidate.version


def _served(feature: Feature, control: Control) -> OpenCanary | None:
    """Return the open canary if this code has the candidate's exact prompt.

    Once another version is live it is not served, although the check may stop it much later.
    """
    canary = control.canary
    if canary is None or not live.has(feature, canary.candidate):
        return None
    return canary if [each.hash for each in control.live[:1]] == [canary.live_hash] else None
