"""Notices about the version for users: an override, its request, and that there is none."""

from __future__ import annotations

from typing import Any

from aifeature.admin.common.show import utc
from aifeature.admin.controls.prompt_buttons import prompts_url
from aifeature.models import Activation, FeatureControl
from aifeature.services.promotion import activations, gate_check


def of_feature(control: FeatureControl | None, live: Activation | None) -> list[dict[str, str]]:
    """Return the notices for every page of a feature."""
    found = []
    if live is not None and live.kind == Activation.Kind.OVERRIDDEN:
        text = f"{activations.in_words(live)} Approved by {activations.by(live)}."
        found.append(_notice(live.feature, "Override of the gate", text, is_alarm=True))
    if control and (text := gate_check.why_staff_only(control.feature, control)):
        found.append(_notice(control.feature, "Serves staff only", text))
    return found


def of_request(row: Activation | None) -> list[dict[str, Any]]:
    """Return the notice about a request that waits for a second person."""
    if row is None:
        return []
    text = (
        f"{activations.by(row)} requested {row.version} without evidence for"
        f" {activations.hours_of(row)}, at {utc(row.at)}: {row.reason.rstrip('. ')}."
        " Another person approves it within 24 hours."
    )
    return [_notice(row.feature, "An override waits for approval", text)]


def _notice(slug: str, title: str, text: str, *, is_alarm: bool = False) -> dict[str, Any]:
    return {"title": title, "text": text, "url": prompts_url(slug), "is_alarm": is_alarm}
