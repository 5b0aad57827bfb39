"""The figures of the on-call overview: queries only, each bounded by an index or a limit.

| figure | bounded by |
| --- | --- |
| jobs of today by state | the entries of index `job_day` since midnight, not the rows |
| seconds of a job | the newest `SAMPLE` of them; the flips of switches since midnight |
| queue | partial index `job_due`, at most `COUNT_LIMIT` entries; its oldest by one look |
| running | partial index `job_leased`: as many as workers hold |
| calls that a person has to settle | partial index `attempt_to_settle`, at most `COUNT_LIMIT` |
| spend | one window per feature, one for everything and one for its month, by unique key |
| latest failures | partial index `job_failed`, read from its newest end |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q, QuerySet

from aifeature import registry
from aifeature.models import NEEDS_A_PERSON, Attempt, ControlChange, Job, SpendWindow, Status
from aifeature.services import controls
from aifeature.services.controls import GLOBAL
from aifeature.services.monitoring import latency

SAMPLE = 10_000
"""How many of today's newest ended jobs the percentiles are taken of."""

COUNT_LIMIT = 10_000
"""Where counting stops; a count of this much means "at least"."""

LATE = timedelta(seconds=30)
"""A due job that waits longer than this while nothing runs: nobody takes jobs."""

_ENDED = (Status.SUCCEEDED, Status.NEEDS_APPROVAL, Status.FAILED, Status.REJECTED)


@dataclass(frozen=True, slots=True)
class Today:
    """The jobs of one feature that were submitted in this UTC day."""

    by_status: Mapping[str, int] = field(default_factory=dict)
    p50_s: float | None = None
    """Median of seconds from submission to the end, of jobs that succeeded or failed.

    The time for which a kill switch held a job does not count, here and in `p95_s`.
    """
    p95_s: float | None = None

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_status.values())

    @property
    def failed(self) -> int:
        """Those that ended without an answer, cancelled ones aside."""
        return self.by_status.get(Status.FAILED, 0)

    @property
    def error_rate(self) -> float | None:
        """Share of failures among those that ended by themselves, 0 to 1; None if none did."""
        ended = sum(self.by_status.get(status, 0) for status in _ENDED)
        return self.failed / ended if ended else None


@dataclass(frozen=True, slots=True)
class Spend:
    """One window of today, in micro-dollars."""

    spent: int = 0
    held: int = 0
    cap: int | None = None
    """None: no cap."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits and what runs, now."""

    due: int
    """Jobs a worker could take at once; COUNT_LIMIT means at least so many."""
    later: int
    """Jobs put back until a moment that is still to come; counted likewise."""
    waiting: timedelta | None
    """How long the oldest of the due has been due. None: none is."""
    running: int
    overdue: int
    """Running jobs whose worker no longer extends their lease."""
    last_call: datetime | None
    """When a provider call was last begun. On a quiet day that is long ago."""

    @property
    def stuck(self) -> bool:
        """Whether jobs are due and nobody takes them."""
        return self.running == self.overdue and self.waiting is not None and self.waiting > LATE


def midnight(now: datetime) -> datetime:
    """The beginning of the UTC day."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def today(now: datetime) -> dict[str, Today]:
    """Today's jobs of each feature that had any, by slug: four queries."""
    since = midnight(now)
    counted = Job.objects.filter(created_at__gte=since).values_list("feature", "status")
    by_feature: dict[str, dict[str, int]] = {}
    for slug, status, count in counted.annotate(count=Count("*")).order_by():
        by_feature.setdefault(slug, {})[status] = count
    seconds = latency.percentiles(since, sample=SAMPLE)
    return {
        slug: Today(statuses, *seconds.get(slug, (None, None)))
        for slug, statuses in by_feature.items()
    }


def spend(now: datetime) -> dict[str, Spend]:
    """Today's spend of every feature of the code by slug, and of GLOBAL: one query."""
    features = registry.all_features()
    everything = Q(scope=SpendWindow.Scope.GLOBAL, key="")
    each = Q(scope=SpendWindow.Scope.FEATURE, key__in=list(features))
    rows = SpendWindow.objects.filter(everything | each, day=midnight(now).date())
    found = {row.key or GLOBAL: (row.spent_micro, row.held_micro) for row in rows}
    each_cap = {slug: controls.caps(feature) for slug, feature in features.items()}
    caps = {slug: own.feature for slug, own in each_cap.items()}
    caps[GLOBAL] = next(own.everything for own in each_cap.values())
    return {slug: Spend(*found.get(slug, (0, 0)), cap) for slug, cap in caps.items()}


def month(now: datetime) -> Spend:
    """This UTC month's spend of everything: one query."""
    first = midnight(now).date().replace(day=1)
    row = SpendWindow.objects.filter(scope=SpendWindow.Scope.MONTH, key="", day=first).first()
    cap = next(controls.caps(feature).month for feature in registry.all_features().values())
    return Spend(row.spent_micro, row.held_micro, cap) if row else Spend(cap=cap)


def queue(now: datetime) -> Queue:
    """What waits and what runs: five small queries."""
    queued = Job.objects.filter(status=Status.QUEUED)
    due = queued.filter(run_at__lte=now)
    oldest = due.aggregate(oldest=Min("run_at"))["oldest"]
    running = Job.objects.filter(status=Status.RUNNING).aggregate(
        all=Count("lease_until"), overdue=Count("lease_until", filter=Q(lease_until__lt=now))
    )
    calls = Attempt.objects.order_by("-started_at").values_list("started_at", flat=True)
    return Queue(
        due=_count(due),
        later=_count(queued.filter(run_at__gt=now)),
        waiting=now - oldest if oldest else None,
        running=running["all"],
        overdue=running["overdue"],
        last_call=calls.first(),
    )


def unknown_calls() -> dict[str, int]:
    """Unknown provider calls that a person has to settle, by feature, of any day: one query.

    Those that their own user ended, and probes, need nobody.
    """
    unknown = Attempt.objects.filter(NEEDS_A_PERSON)
    rows = unknown.values_list("feature", flat=True)
    counts: dict[str, int] = {}
    for slug in rows[:COUNT_LIMIT]:
        counts[slug] = counts.get(slug, 0) + 1
    return counts


def latest_failures(limit: int = 10) -> list[Job]:
    """The jobs that failed last, newest first, without their content."""
    failed = Job.objects.filter(status=Status.FAILED).order_by("-finished_at")
    wanted = ("id", "feature", "error_code", "error_message", "finished_at", "tries", "attempts")
    return list(failed.only(*wanted)[:limit])


def latest_changes(limit: int = 10) -> list[ControlChange]:
    """The newest changes of any control, with who made them."""
    return list(ControlChange.objects.select_related("user").order_by("-id")[:limit])


def _count(rows: QuerySet[Any]) -> int:
    """Count no further than COUNT_LIMIT."""
    return rows.order_by()[:COUNT_LIMIT].count()
