"""The hallucination rate, from answers that people labelled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from django.db.models import Count, Max, Q

from aifeature.models import AuditedAnswer

Label = AuditedAnswer.Label
WEEKS: Final = 4


@dataclass(frozen=True, slots=True)
class Rate:
    """Labels of the newest week that has one, and of the four weeks that end with it.

    Answers that wait or are unclear do not count.
    """

    week: date
    """Its Monday."""
    hallucinated: int
    labels: int
    hallucinated_of_four: int
    labels_of_four: int
    labelled_at: datetime
    """The newest label of the week."""


def rate(slug: str, now: datetime) -> Rate | None:
    """Return the labels of a feature; None without any up to now."""
    rows = AuditedAnswer.objects.filter(
        feature=slug,
        label__in=(Label.GROUNDED, Label.HALLUCINATED),
        week__lte=now.date(),
        labelled_at__lte=now,
    )
    week = rows.aggregate(week=Max("week"))["week"]
    if week is None:
        return None
    bad, newest = Q(label=Label.HALLUCINATED), Q(week=week)
    found = rows.filter(week__gt=week - timedelta(weeks=WEEKS)).aggregate(
        hallucinated=Count("pk", filter=bad & newest),
        labels=Count("pk", filter=newest),
        hallucinated_of_four=Count("pk", filter=bad),
        labels_of_four=Count("pk"),
        labelled_at=Max("labelled_at", filter=newest),
    )
    return Rate(week, **found)
