"""The gate before users: the database opens a feature only with a proven prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import ValidationError

from aifeature.models import FeatureControl, Stage
from aifeature.models.functions import rows
from aifeature.services.controls import live

STAFF_ONLY: Final = frozenset({Stage.OFF, Stage.STAFF})
"""The stages at which no user gets an answer. They need no evidence."""

_RANK: Final = {stage.value: rank for rank, stage in enumerate(Stage)}

FIELDS: Final = frozenset({"stage", "percent", "prompt_version", "beta_cap", "holdout_percent"})
"""The fields of a control whose change is checked."""

HOW: Final = "Activate a version with evidence first: Prompts and evidence, on the feature's page."


def check(row: FeatureControl, before: Mapping[str, Any], *, invites: bool = False) -> None:
    """Refuse a change that the database would refuse (`prompt_guard`, `reach_guard`), in words.

    Args:
        row: The control with its new values, locked.
        before: The old values of the fields that change, by name.
        invites: Whether users or groups are invited, which are rows that the database does not
            check.

    Raises:
        ValidationError: users would get an unproven prompt, or more users one with old evidence.
    """
    if row.known_stage in STAFF_ONLY and row.stage in Stage:
        return
    admits = invites and before.get("stage", row.stage) != Stage.EVERYONE
    more = opens_more(row, before) or admits
    is_other = row.prompt_version != before.get("prompt_version", row.prompt_version)
    if not more and not is_other:
        return
    for provider in (live.provider(), None):  # None: as the database will
        arguments = (row.feature, provider, row.prompt_version, more)
        if problem := rows("aif_opening_problem", *arguments)[0][0]:
            break
    if problem:
        field = _opener(row, before) if more else "prompt_version"
        raise ValidationError({field: f"{problem} {HOW}"})


def opens_more(row: FeatureControl, before: Mapping[str, Any]) -> bool:
    """Return whether more users than before may use the feature, or may join its beta."""
    return _opener(row, before) != "beta_users"


def _opener(row: FeatureControl, before: Mapping[str, Any]) -> str:
    """Return the field that opens the feature to more users; "beta_users" if no value does."""
    stage = before.get("stage", row.stage)
    if _RANK.get(row.stage, len(_RANK)) > _RANK.get(stage, len(_RANK)):
        return "stage"
    if row.stage == Stage.PERCENT and row.percent > before.get("percent", row.percent):
        return "stage"
    if row.stage != Stage.EVERYONE and row.beta_cap > before.get("beta_cap", row.beta_cap):
        return "beta_cap"
    if row.holdout_percent < before.get("holdout_percent", row.holdout_percent):
        return "holdout_percent"
    return "beta_users"
