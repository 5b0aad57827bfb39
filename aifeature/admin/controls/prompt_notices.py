"""Notices about the version for users: an override, its request, and that there is none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.utils import quote, unquote
from django.db import Error, transaction
from django.db.models import prefetch_related_objects
from django.urls import reverse

from aifeature import registry
from aifeature.admin.common.dialogs import ReasonForm
from aifeature.admin.common.show import utc
from aifeature.admin.rollout import impact_panel
from aifeature.models import Activation, FeatureControl
from aifeature.services.promotion import activations, gate_check
from aifeature.services.rollout.impact import Impact


class FeatureForm(ReasonForm):
    """The form of a dialog about a feature. The dialog shows the feature's notices."""

    @property
    def slug(self) -> str:
        return unquote(str(self.object_id))

    @property
    def impact(self) -> Impact | None:
        """The blast radius of what the dialog does."""
        return impact_panel.of_prompt(self.slug)

    @property
    def notices(self) -> list[dict[str, Any]]:
        """The notices now. The dialog must also open if they cannot be read."""
        try:
            with transaction.atomic():
                return of_features([self.slug])[self.slug]
        except Error:
            return []


def of_features(slugs: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Return by feature the notices for every page of it, in a fixed number of queries."""
    every = list(slugs)
    known = [slug for slug in every if registry.find(slug)]
    found, live = FeatureControl.objects.in_bulk(known), live_rows(known)
    return {slug: of_feature(found.get(slug), live.get(slug)) for slug in every}


def live_rows(slugs: Iterable[str]) -> dict[str, Activation]:
    """Return by feature what is live. Overrides come with their people and requests."""
    found = activations.live_rows(slugs)
    overrides = [row for row in found.values() if row.kind == Activation.Kind.OVERRIDDEN]
    prefetch_related_objects(overrides, "user", "request")
    return found


def of_feature(control: FeatureControl | None, live: Activation | None) -> list[dict[str, Any]]:
    """Return the notices for every page of a feature, from its rows."""
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


def prompts_url(slug: str) -> str:
    return reverse("admin:aifeature_featurecontrol_prompts", args=(quote(slug),))


def _notice(slug: str, title: str, text: str, *, is_alarm: bool = False) -> dict[str, Any]:
    return {"title": title, "text": text, "url": prompts_url(slug), "is_alarm": is_alarm}
