"""Figures of the on-call overview. Each query is bounded by an index or a limit.

Jobs and their calls are those of users. Spend of everything, and calls that a person must settle,
include evaluations: they are money.

| figure | bounded by |
| --- | --- |
| jobs of today by state | the entries of index `job_day_by_origin` since midnight, not the rows |
| latency | the newest `SAMPLE` jobs; the flips of switches since midnight |
| queue | partial index `job_due`, at most `COUNT_LIMIT` entries; its first entry for the oldest |
| running | partial index `job_leased`: one entry per leased job |
| calls that a person must settle | partial index `attempt_to_settle`, at most `COUNT_LIMIT` |
| spend | one window per feature, one global and one of the month, by unique key |
| prompt cache | the newest `SAMPLE` calls, by index `attempt_newest` |
| latest failures | partial index `job_failed`, read from its newest end |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, F, Min, Q, QuerySet, Sum

from aifeature import registry
from aifeature.models import NEEDS_A_PERSON, Attempt, ControlChange, Job, SpendWindow, Status
from aifeature.services import controls
from aifeature.services.controls import GLOBAL
from aifeature.services.monitoring import latency

SAMPLE = 10_000
"""Most jobs that the percentiles cover, newest first."""

COUNT_LIMIT = 10_000
"""Counting stops here; a count of this value means "at least"."""

LATE = timedelta(seconds=30)
"""Wait of a due job after which the queue is stuck, if nothing runs."""

_ENDED = (Status.SUCCEEDED, Status.NEEDS_APPROVAL, Status.FAILED, Status.REJECTED)


@dataclass(frozen=True, slots=True)
class Today:
    """Jobs of one feature submitted in this UTC day."""

    by_status: Mapping[str, int] = field(default_factory=dict)
    p50_s: float | None = None
    """Latency as in `latency.percentiles`."""
    p95_s: float | None = None

    @property
    def total(self) -> int:
        return sum(self.by_status.values())

    @property
    def failed(self) -> int:
        return self.by_status.get(Status.FAILED, 0)

    @property
    def error_rate(self) -> float | None:
        """Share of failures among ended jobs that were not cancelled, 0 to 1; None without any."""
        ended = sum(self.by_status.get(status, 0) for status in _ENDED)
        return self.failed / ended if ended else None


@dataclass(frozen=True, slots=True)
class Spend:
    """Current state of one spend window, in micro-dollars."""

    spent: int = 0
    held: int = 0
    cap: int | None = None
    """None is no cap."""


@dataclass(frozen=True, slots=True)
class PromptCache:
    """Use of the provider's prompt cache by the calls of one feature in this UTC day."""

    share: float
    """Share of all prompt tokens that were read from the cache, 0 to 1."""
    saved_micro: int
    """Micro-dollars saved; negative if more was paid for writing than reading saved."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Queued and running jobs of users."""

    due: int
    """Queued jobs that a worker may take now, at most COUNT_LIMIT."""
    later: int
    """Queued jobs that are due later, at most COUNT_LIMIT."""
    waiting: timedelta | None
    """Time since the oldest due job became due; None if none is due."""
    running: int
    overdue: int
    """Running jobs whose lease has expired."""
    last_call: datetime | None
    """Start of the latest provider call of a user's job, or probe."""

    @property
    def stuck(self) -> bool:
        """Whether jobs are due and no worker takes them."""
        return self.running == self.overdue and self.waiting is not None and self.waiting > LATE


def midnight(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def today(now: datetime) -> dict[str, Today]:
    """Return users' jobs of today by slug, for features with any. Four queries."""
    since = midnight(now)
    counted = Job.objects.of_users().filter(created_at__gte=since).values_list("feature", "status")
    by_feature: dict[str, dict[str, int]] = {}
    for slug, status, count in counted.annotate(count=Count("*")).order_by():
        by_feature.setdefault(slug, {})[status] = count
    seconds = latency.percentiles(since, sample=SAMPLE)
    return {
        slug: Today(statuses, *seconds.get(slug, (None, None)))
        for slug, statuses in by_feature.items()
    }


def spend(now: datetime) -> dict[str, Spend]:
    """Return today's spend of GLOBAL and of each feature of the code, by slug. One query.

    GLOBAL includes the spend of evaluations, and no feature does.
    """
    features = registry.all_features()
    everything = Q(scope=SpendWindow.Scope.GLOBAL, key="")
    each = Q(scope=SpendWindow.Scope.FEATURE, key__in=list(features))
    rows = SpendWindow.objects.filter(everything | each, day=midnight(now).date())
    sums = {row.key or GLOBAL: (row.spent_micro, row.held_micro) for row in rows}
    caps = {slug: controls.caps(feature).feature for slug, feature in features.items()}
    caps[GLOBAL] = controls.global_caps().everything
    return {slug: Spend(*sums.get(slug, (0, 0)), cap) for slug, cap in caps.items()}


def month(now: datetime) -> Spend:
    """Return the global spend of this UTC month, evaluations included. One query."""
    first = midnight(now).date().replace(day=1)
    row = SpendWindow.objects.filter(scope=SpendWindow.Scope.MONTH, key="", day=first).first()
    cap = controls.global_caps().month
    return Spend(row.spent_micro, row.held_micro, cap) if row else Spend(cap=cap)


def queue(now: datetime) -> Queue:
    """Return the state of the queue of users' jobs. Five queries."""
    queued = Job.objects.of_users().filter(status=Status.QUEUED)
    due = queued.filter(run_at__lte=now)
    oldest = due.aggregate(oldest=Min("run_at"))["oldest"]
    running = (
        Job.objects.of_users()
        .filter(status=Status.RUNNING)
        .aggregate(
            all=Count("lease_until"), overdue=Count("lease_until", filter=Q(lease_until__lt=now))
        )
    )
    calls = Attempt.objects.of_users().order_by("-started_at").values_list("started_at", flat=True)
    return Queue(
        due=_count(due),
        later=_count(queued.filter(run_at__gt=now)),
        waiting=now - oldest if oldest else None,
        running=running["all"],
        overdue=running["overdue"],
        last_call=calls.first(),
    )


def prompt_cache(now: datetime) -> dict[str, PromptCache]:
    """Return the use of the prompt cache today by slug, for features that use it. One query.

    It covers the newest SAMPLE calls of users' jobs.
    """
    calls = Attempt.objects.of_users().filter(started_at__gte=midnight(now))
    sample = calls.order_by("-started_at")[:SAMPLE]
    tokens = F("input_tokens") + F("cache_read_tokens") + F("cache_write_tokens")
    rows = (
        calls.filter(pk__in=sample.values("pk"))
        .values_list("feature")
        .annotate(
            prompt=Sum(tokens),
            read=Sum("cache_read_tokens"),
            written=Sum("cache_write_tokens"),
            saved=Sum("cache_saved_micro"),
        )
        .order_by()
    )
    return {
        slug: PromptCache(read / prompt, int(saved))
        for slug, prompt, read, written, saved in rows
        if read or written
    }


def unknown_calls() -> dict[str, int]:
    """Return the number of unknown calls that a person must settle, by feature. One query.

    Calls that their own user cancelled, and probes, need no settlement. Calls of evaluations do:
    they count at their bound in the global caps.
    """
    unknown = Attempt.objects.of_all_origins().filter(NEEDS_A_PERSON)
    rows = unknown.values_list("feature", flat=True)
    counts: dict[str, int] = {}
    for slug in rows[:COUNT_LIMIT]:
        counts[slug] = counts.get(slug, 0) + 1
    return counts


def latest_failures(limit: int = 10) -> list[Job]:
    """Return the latest failed jobs of users, newest first, without their content."""
    failed = Job.objects.of_users().filter(status=Status.FAILED).order_by("-finished_at")
    wanted = ("id", "feature", "error_code", "error_message", "finished_at", "tries", "attempts")
    return list(failed.only(*wanted)[:limit])


def latest_changes(limit: int = 10) -> list[ControlChange]:
    return list(ControlChange.objects.select_related("user").order_by("-id")[:limit])


def _count(rows: QuerySet[Any]) -> int:
    return rows.order_by()[:COUNT_LIMIT].count()
