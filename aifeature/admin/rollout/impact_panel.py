"""The blast radius in dialogs and on the page that confirms a save. See `impact.html`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aifeature.models import FeatureControl, RateOverride, Stage
from aifeature.services.controls import GLOBAL
from aifeature.services.rollout import impact
from aifeature.services.rollout.impact import Impact

_PEOPLE: Final = ("beta_users", "beta_groups")
"""Fields of the form that hold rows of users or groups."""


def of_stop(slug: str) -> Impact:
    """Return what a pull of a kill switch affects."""
    return impact.of(slug, released_percent=0)


def of_release(slug: str, percent: int) -> Impact:
    """Return what a release of a kill switch for a share of the users affects."""
    return impact.of(slug, released_percent=percent)


def of_prompt(slug: str, *, staff_only: bool = False) -> Impact:
    """Return what another live prompt affects. Without one, only staff may use the feature."""
    row = FeatureControl.objects.filter(feature=slug).first() or FeatureControl(feature=slug)
    stage = row.known_stage
    if staff_only and stage is not Stage.OFF:
        stage = Stage.STAFF
    return impact.of(slug, stage=stage)


def of_step(slug: str, percent: int) -> Impact:
    """Return what a step of a ramp affects."""
    return impact.of(slug, stage=Stage.PERCENT, percent=percent)


def of_rates(override: RateOverride) -> Impact:
    """Return what an exception to the rates affects, or its end."""
    slug = override.feature or GLOBAL
    return impact.of_members(slug, user_id=override.user_id, group_id=override.group_id)


def of_values(slug: str, values: Mapping[str, Any]) -> Impact:
    """Return what new values of a control affect.

    Args:
        slug: A feature, or GLOBAL.
        values: New values by field of the form, only those that change.
    """
    stage = values.get("stage")
    people = {name: _ids(values[name]) for name in _PEOPLE if name in values}
    return impact.of(
        slug,
        stage=Stage(stage) if stage and stage in Stage else None,
        percent=values.get("percent"),
        holdout_percent=values.get("holdout_percent"),
        limits=values,
        invited=people.get("beta_users"),
        groups=people.get("beta_groups"),
    )


def _ids(rows: Iterable[Any]) -> list[int]:
    return [row.pk for row in rows]
