"""The features of the local stack: open to all users with evidence, else to staff."""

from __future__ import annotations

from typing import Final

from aifeature import registry
from aifeature.models import Activation, ControlChange, FeatureControl, Stage
from aifeature.services import controls
from aifeature.services.promotion import activations, refusals
from aifeature.spec import Feature

BY: Final = "manage.py stack"


def open_features() -> None:
    """Open every feature of which no person changed the controls. For the local stack only."""
    for feature in registry.offered().values():
        by_people = ControlChange.objects.filter(feature=feature.slug, user__isnull=False)
        if not by_people.exclude(field=refusals.FIELD).exists():
            _open(feature)


def _open(feature: Feature) -> None:
    slug = feature.slug
    activations.settle(feature)
    if not Activation.objects.filter(feature=slug, user__isnull=False).exists():
        _follow_the_code(feature)
    controls.clear_cache()
    stage = Stage.STAFF if controls.live_version(feature) is None else Stage.EVERYONE
    control = FeatureControl.objects.filter(feature=slug).first()
    if control is None or control.stage != stage:
        reason = "The local stack opens its own features."
        controls.change(slug, {"stage": stage}, reason=reason, check_name=BY)


def _follow_the_code(feature: Feature) -> None:
    """Activate the code's version, if its evidence permits it."""
    if controls.live_version(feature) == feature.prompt_version:
        return
    reason = "The local stack follows the code."
    try:
        activations.activate(feature.slug, feature.prompt_version, reason=reason, check_name=BY)
    except refusals.RefusedError:
        return
