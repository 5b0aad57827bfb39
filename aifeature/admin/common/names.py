"""Display names and colours."""

from __future__ import annotations

from aifeature import registry
from aifeature.models import AttemptState, GuardEvent, Stage, Status
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

GUARD_COLOURS: dict[str, str] = {
    GuardEvent.Action.FLAGGED: "info",
    GuardEvent.Action.TIGHTENED: "warning",
    GuardEvent.Action.REFUSED: "danger",
    GuardEvent.Action.WITHHELD: "danger",
    GuardEvent.Action.FAILED_OPEN: "warning",
    GuardEvent.Action.FAILED_CLOSED: "danger",
}


def title_of(slug: str) -> str:
    """Return the title of a feature or of everything; without a title, the slug and the cause."""
    if slug == GLOBAL:
        return "Everything"
    if feature := registry.find(slug):
        return feature.title
    broken = slug in registry.slugs()
    return f"{slug} ({'its code does not load' if broken else 'no longer in the code'})"


def feature_choices() -> list[tuple[str, str]]:
    return [(slug, feature.title) for slug, feature in registry.all_features().items()]
