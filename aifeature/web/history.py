"""A user's own jobs in pages, with filters and search."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.db.models import BooleanField, Case, F, Func, Q, QuerySet, Value, When

from aifeature.models import Job, Status
from aifeature.web import titles

if TYPE_CHECKING:
    from django.contrib.auth.models import User

PAGE: Final = 20
SEARCHED: Final = 1_000
"""Number of newest jobs that a search reads, because each contains a whole document."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a job in the history. A page lists the jobs before or after it."""

    moment: datetime
    job: UUID

    def __str__(self) -> str:
        micros = (self.moment - _EPOCH) // timedelta(microseconds=1)
        return f"{micros}-{self.job.hex}"

    @classmethod
    def of(cls, job: Job) -> Position:
        return cls(job.created_at, job.id)

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Parse the text that `str` returned. Return None, the first page, for any other text."""
        micros, _, job = text.partition("-")
        try:
            return cls(_EPOCH + timedelta(microseconds=int(micros)), UUID(hex=job))
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filters and place of a page. An empty string is no filter."""

    text: str = ""
    feature: str = ""
    status: str = ""
    older_than: Position | None = None
    newer_than: Position | None = None

    @property
    def is_filtered(self) -> bool:
        """Whether an empty page means no match, not an empty history."""
        return bool(self.text or self.feature or self.status)


@dataclass(frozen=True, slots=True)
class Page:
    """Up to `PAGE` jobs, newest first, each with `beginning`, and the places of the next pages."""

    jobs: list[Job]
    older: Position | None
    newer: Position | None


def page(user: User, wanted: Wanted) -> Page:
    """Return one page of this user's own jobs."""
    rows = _found(user, wanted)
    if wanted.newer_than is not None:
        return _newer(rows, wanted.newer_than)
    place = wanted.older_than
    if place is not None:
        rows = rows.filter(created_at__lte=place.moment).exclude(
            created_at=place.moment, id__gte=place.job
        )
    found = list(_shown(rows.order_by("-created_at", "-id"))[: PAGE + 1])
    shown = found[:PAGE]
    return Page(
        shown,
        older=Position.of(shown[-1]) if len(found) > PAGE else None,
        newer=Position.of(shown[0]) if place is not None and shown else None,
    )


def slugs(user: User) -> set[str]:
    """Return the features of the user's newest jobs, as many as a search reads."""
    newest = Job.objects.filter(user_id=user.pk).order_by("-created_at", "-id")
    return set(newest.values_list("feature", flat=True)[:SEARCHED])


def _newer(rows: QuerySet[Job], place: Position) -> Page:
    rows = rows.filter(created_at__gte=place.moment).exclude(
        created_at=place.moment, id__lte=place.job
    )
    found = list(_shown(rows.order_by("created_at", "id"))[: PAGE + 1])
    shown = found[:PAGE][::-1]
    return Page(
        shown,
        older=Position.of(shown[-1]) if shown else None,
        newer=Position.of(shown[0]) if len(found) > PAGE else None,
    )


def _found(user: User, wanted: Wanted) -> QuerySet[Job]:
    rows = Job.objects.filter(user_id=user.pk)
    if wanted.feature:
        rows = rows.filter(feature=wanted.feature)
    if wanted.status:
        rows = rows.filter(status=wanted.status)
    if wanted.text:
        newest = rows.order_by("-created_at", "-id").values("id")[:SEARCHED]
        rows = rows.filter(_holds(wanted.text), id__in=newest)
    return rows


def _holds(text: str) -> Q:
    """Match jobs whose id starts with the text, or with a value that contains it, ignoring case.

    Answers that were not released are not searched: a match would reveal their content.
    """
    prefix = text.strip().lower()
    own_id = Q(id__startswith=prefix) if _is_id(prefix) else Q()
    readable = Case(When(status=Status.SUCCEEDED, then=F("result")), default=None)
    return own_id | Q(_Match(F("input"), _pattern(text))) | Q(_Match(readable, _pattern(text)))


def _is_id(prefix: str) -> bool:
    return len(prefix) >= 4 and not prefix.strip("0123456789abcdef-")  # noqa: PLR2004


def _pattern(text: str) -> Value:
    """Return a JSON path to any text value that contains these characters; keys do not count."""
    return Value(f'$.** ? (@ like_regex {json.dumps(text, ensure_ascii=False)} flag "iq")')


class _Match(Func):
    function = "jsonb_path_exists"
    template = "%(function)s(%(expressions)s::jsonpath)"
    output_field: Any = BooleanField()


def _shown(rows: QuerySet[Job]) -> QuerySet[Job]:
    """Leave out the documents: a page of them can have megabytes."""
    return rows.defer("input", "result").annotate(beginning=titles.content())
