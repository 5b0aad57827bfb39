"""The prompt of a job."""

from __future__ import annotations

from typing import Final

from django.contrib.auth import get_user_model

from aifeature import prompts
from aifeature.models.transitions import Claimed
from aifeature.prompts import Prompt
from aifeature.reasons import FailureCode, WaitReason
from aifeature.services import controls
from aifeature.services.execution.outcomes import Failed, Requeue
from aifeature.spec import Feature

WAIT_S: Final = 15.0
"""Seconds until a job that gets no prompt is tried again, perhaps by another release."""


def of(feature: Feature, claimed: Claimed) -> Prompt | Requeue | Failed:
    """Return the prompt of a job, or what happens to it without one.

    Users get what is live, or the candidate of the canary that their job names, while it is open.
    Staff and evaluations get the active version, which may be unproven.
    """
    chosen = "" if claimed.is_of_user else claimed.options.get("prompt_version")
    version = chosen or _version(feature, claimed)
    if version is None:
        return Requeue(WAIT_S, counts_as_try=False, reason=WaitReason.FEATURE_PAUSED)
    try:
        return prompts.get(feature.slug, version)
    except prompts.PromptError:
        if claimed.is_of_user:
            raise
        return Failed(FailureCode.FEATURE_REMOVED)  # an evaluation of a prompt of other code


def _version(feature: Feature, claimed: Claimed) -> str | None:
    if claimed.is_of_user:
        candidate = controls.canaries.candidate_of(feature, claimed.options.get("canary"))
        if candidate is not None:
            return candidate
    active, live = controls.prompt_version(feature), controls.live_version(feature)
    if active == live or not claimed.is_of_user or _is_staff(claimed.user_id):
        return active
    return live


def _is_staff(user_id: int) -> bool:
    return get_user_model().objects.filter(pk=user_id, is_staff=True).exists()
