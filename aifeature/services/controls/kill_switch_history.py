"""Trips: pulls of a kill switch by a check."""

from __future__ import annotations

from aifeature.models import ControlChange
from aifeature.services.controls.effective import GLOBAL


def latest(slug: str, limit: int = 5) -> list[ControlChange]:
    """Return the latest trips of a feature, newest first. For GLOBAL, those of all features."""
    pulls = ControlChange.objects.filter(field="killed", new="True", user=None)
    if slug != GLOBAL:
        pulls = pulls.filter(feature=slug)
    return list(pulls.order_by("-at", "-id")[:limit])
