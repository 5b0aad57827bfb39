"""What things are called on the screens, and in which colour."""

from __future__ import annotations

from aifeature import registry
from aifeature.models import AttemptState, Stage, Status
from aifeature.services.controls import GLOBAL

STAGE_COLOURS: dict[str, str] = {
    Stage.STAFF: "info",
    Stage.BETA: "info",
    Stage.PERCENT: "warning",
    Stage.EVERYONE: "success",
}

STATUS_COLOURS: dict[str, str] = {
    Status.RUNNING: "info",
    Status.NEEDS_APPROVAL: "warning",
    Status.SUCCEEDED: "success",
    Status.FAILED: "danger",
    Status.REJECTED: "danger",
}

STATE_COLOURS: dict[str, str] = {
    AttemptState.STARTED: "info",
    AttemptState.SETTLED: "success",
    AttemptState.FAILED: "danger",
    AttemptState.ESTIMATED: "primary",
    AttemptState.UNKNOWN: "warning",
}


def title_of(slug: str) -> str:
    """What a feature is called, or what became of it; also for the control of everything."""
    if slug == GLOBAL:
        return "Everything"
    if feature := registry.find(slug):
        return feature.title
    broken = slug in registry.slugs()
    return f"{slug} ({'its code does not load' if broken else 'no longer in the code'})"


def feature_choices() -> list[tuple[str, str]]:
    """Every feature of the code, to choose from."""
    return [(slug, feature.title) for slug, feature in registry.all_features().items()]
