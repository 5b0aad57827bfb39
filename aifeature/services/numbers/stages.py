"""The stage of each feature over time, from the audit log of its changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from aifeature.models import ControlChange, FeatureControl, Stage

LONGEST: Final = 8
"""Characters of a stage in `NumberSlot`."""

EVER: Final = datetime.min.replace(tzinfo=UTC, year=1900)


@dataclass(frozen=True, slots=True)
class Span:
    """A period in which a feature had one stage."""

    feature: str
    stage: str
    begins: datetime
    ends: datetime | None
    """None: it still has it."""


def spans(since: datetime) -> list[Span]:
    """Return the stages of all features since then, with two queries.

    The first span of each feature begins long before. A feature that was never changed is off.
    """
    now = dict(FeatureControl.objects.values_list("feature", "stage"))
    rows = ControlChange.objects.filter(field="stage", at__gte=since).order_by("at", "id")
    changes: dict[str, list[tuple[datetime, str, str]]] = {slug: [] for slug in now}
    for slug, at, old, new in rows.values_list("feature", "at", "old", "new"):
        changes.setdefault(slug, []).append((at, old, new))
    return [
        # Another release may have a longer name, which must not end all summing up.
        replace(span, stage=span.stage[:LONGEST])
        for slug, each in changes.items()
        for span in _of(slug, each, now.get(slug, Stage.OFF.value))
    ]


def _of(slug: str, changes: list[tuple[datetime, str, str]], now: str) -> Iterator[Span]:
    begins, stage = EVER, changes[0][1] if changes else now
    for at, _, new in changes:
        if begins < at:
            yield Span(slug, stage, begins, at)
            begins = at
        stage = new
    yield Span(slug, stage, begins, None)
