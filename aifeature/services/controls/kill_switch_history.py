"""Kill switches that were pulled by a check."""

from __future__ import annotations

from aifeature.models import ControlChange
from aifeature.services.controls.effective import GLOBAL


def latest(slug: str, limit: int = 5) -> list[ControlChange]:
    """The last trips of a feature, newest first; of GLOBAL those of all features as well."""
    pulls = ControlChange.objects.filter(field="killed", new="True", user=None)
    if slug != GLOBAL:
        pulls = pulls.filter(feature=slug)
    return list(pulls.order_by("-at", "-id")[:limit])
