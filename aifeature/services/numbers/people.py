"""The people behind a red share, since few of them must not make a number red."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from django.db.models import Count, Q, QuerySet

from aifeature.models import Feedback, Job, Origin, Status
from aifeature.policies.buckets import SLOW_MS
from aifeature.policies.numbers import Six
from aifeature.reasons import FAULTS, OTHER_HARMS
from aifeature.services.monitoring import latency

_DOWN: Final = -1
_ANSWERED: Final = Q(status__in=(Status.SUCCEEDED, Status.REJECTED))


Counts = list[tuple[int, int]]
"""Of each person: failures, slow answers or thumbs down, and all that were judged."""


def counts(name: Six, slug: str, begin: datetime, end: datetime, version: str = "") -> Counts:
    """Return what each person had from `begin` until before `end`.

    With a version, only votes on answers of that prompt count.
    """
    if name is Six.THUMBS_DOWN:
        votes = _votes(slug, begin, end)
        own = votes.filter(prompt_version=version) if version else votes
        return _by_user(own, Q(first_rating=_DOWN))
    return _COUNTS[name](slug, begin, end)


def active(name: Six, slug: str, begin: datetime, end: datetime) -> int:
    """Return the number of different people with a request that ended, or with a vote."""
    is_of_votes = name is Six.THUMBS_DOWN
    return _different((_votes if is_of_votes else _jobs)(slug, begin, end))


def _errors(slug: str, begin: datetime, end: datetime) -> Counts:
    is_bad = Q(status=Status.FAILED, error_code__in=FAULTS)
    counts_too = _ANSWERED | Q(status=Status.FAILED, error_code__in=FAULTS | OTHER_HARMS)
    return _by_user(_jobs(slug, begin, end).filter(counts_too), is_bad)


def _latency(slug: str, begin: datetime, end: datetime) -> Counts:
    return latency.slow_by_user(slug, begin, end, above_s=SLOW_MS / 1000)


def _jobs(slug: str, begin: datetime, end: datetime) -> QuerySet[Job]:
    own = Job.objects.of_users()
    return own.filter(feature=slug, finished_at__gte=begin, finished_at__lt=end)


def _votes(slug: str, begin: datetime, end: datetime) -> QuerySet[Feedback]:
    # A vote is never older than its last change, which is indexed.
    return Feedback.objects.filter(
        feature=slug,
        changed_at__gte=begin,
        created_at__gte=begin,
        created_at__lt=end,
        job__origin=Origin.USER,
    )


def _by_user(rows: QuerySet[Any], is_bad: Q) -> Counts:
    found = rows.order_by().values("user").annotate(bad=Count("pk", filter=is_bad), of=Count("pk"))
    return list(found.values_list("bad", "of"))


def _different(rows: QuerySet[Any]) -> int:
    return rows.order_by().values("user").distinct().count()


_COUNTS: Final[Mapping[Six, Callable[[str, datetime, datetime], Counts]]] = MappingProxyType(
    {Six.ERRORS: _errors, Six.LATENCY: _latency}
)
