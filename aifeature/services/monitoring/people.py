"""The users with the highest figures: spend, flags, cancelled jobs, submissions over limits.

Each figure comes from an index by day or by time, so that its cost depends on the rows of the
chosen days and not on all jobs. Days are in UTC, and the last one is today.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db.models import Count, Q, QuerySet, Sum, TextField, Value
from django.db.models.functions import Cast, Coalesce, Length, Now, Substr

from aifeature.guarding import Guard
from aifeature.models import (
    EVALUATIONS_ACCOUNT,
    AccessBlock,
    CancelledBy,
    GuardEvent,
    Job,
    RateOverride,
    RefusedSubmissions,
    SpendWindow,
    Status,
)
from aifeature.models.functions import database_now
from aifeature.reasons import FailureCode
from aifeature.services.access import blocks as access_blocks
from aifeature.services.controls import throttles

MOST: Final = 25
"""Users on the page."""

DAYS: Final = (1, 7, 30)


class By(StrEnum):
    """A figure of a user, by which the page is sorted."""

    SPEND = "spend"
    """Own spend in micro-dollars: settled calls, and what the user's own cancellations cost."""
    FLAGS = "flags"
    """Requests in which a guard found an order to the model or foul language."""
    REFUSED = "refused"
    """Those of them that were refused before they became a job."""
    UNANSWERED = "unanswered"
    """Jobs whose answer a model declined or a guard withheld."""
    CANCELS = "cancels"
    """Jobs that the user cancelled."""
    LIMITED = "limited"
    """Submissions over the user's rate or budget. Since counts are kept in memory for some seconds,
    a killed web process loses its last ones."""
    BLOCKED = "blocked"
    """Submissions to a feature from which the user is blocked."""


@dataclass(frozen=True, slots=True)
class Person:
    """A user with the figures of the chosen days."""

    user_id: Any
    name: str
    figures: Mapping[By, int]
    blocks: tuple[AccessBlock, ...]
    """In force now, for the chosen feature or all features."""
    overrides: tuple[RateOverride, ...]
    reads: tuple[str, ...]
    """The sentences that the user reads about blocks and limits in force."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    slug: str
    """Empty: all features."""
    first: datetime
    """The beginning of the first day."""
    users: Collection[Any] | None = None
    """None: all users."""

    def of(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return those of the rows that are of the feature and of the users."""
        if self.slug:
            rows = rows.filter(feature=self.slug)
        if self.users is not None:
            rows = rows.filter(user_id__in=self.users)
        return rows.order_by()


def top(*, slug: str = "", days: int = 1, by: By = By.SPEND, most: int = MOST) -> list[Person]:
    """Return the users with the highest figure, highest first.

    Args:
        slug: A feature; empty: all features.
        days: 1, 7 or 30, today included.
        by: The figure.
        most: Users at most.

    Example:
        top(slug="summarize", days=7, by=By.FLAGS)
    """
    today = database_now().astimezone(UTC).date()
    first = datetime.combine(today - timedelta(days=days - 1), time(), UTC)
    highest = _highest(by, _Chosen(slug, first), most)
    chosen = _Chosen(slug, first, [user for user, _ in highest])
    others = {each: dict(_FIGURES[each](chosen)) for each in By if each is not by}
    others[by] = dict(highest)
    names = _names(chosen.users or ())
    blocks, overrides = _in_force(chosen)
    return [
        Person(
            user_id=user,
            name=names[user],
            figures={each: others[each].get(user, 0) for each in By},
            blocks=tuple(blocks.get(user, ())),
            overrides=tuple(overrides.get(user, ())),
            reads=_reads(user, slug, blocks.get(user, ())),
        )
        for user, _ in highest
        if user in names
    ]


def spenders(*, slug: str = "", days: int = 1, most: int = MOST) -> list[tuple[Any, str, int]]:
    """Return id, name and micro-dollars of the users with the highest own spend. Two queries.

    Args:
        slug: A feature; empty: all features.
        days: UTC days, today included.
        most: Users at most.
    """
    today = database_now().astimezone(UTC).date()
    first = datetime.combine(today - timedelta(days=days - 1), time(), UTC)
    highest = _highest(By.SPEND, _Chosen(slug, first), most)
    names = _names([user for user, _ in highest])
    return [(user, names[user], micro) for user, micro in highest if user in names]


def _highest(by: By, chosen: _Chosen, most: int) -> list[tuple[Any, int]]:
    rows = _FIGURES[by](chosen).filter(n__gt=0).order_by("-n")[: most + 1]
    return [row for row in rows if row[0] is not None][:most]


def _spend(chosen: _Chosen) -> Any:
    """Sum the windows of the days: of the user in the feature, or of the user in all features."""
    scope, prefix = ("user", f"{chosen.slug}:") if chosen.slug else ("account", "")
    rows = SpendWindow.objects.filter(scope=scope, day__gte=chosen.first.date()).order_by()
    if chosen.users is not None:
        rows = rows.filter(key__in=[f"{prefix}{user}" for user in chosen.users])
    elif prefix:
        rows = rows.filter(key__startswith=prefix)
    key = get_user_model()._meta.pk  # noqa: SLF001 (public in Django)
    user = Cast(Substr("key", Length(Value(prefix)) + 1), type(key)())
    found = rows.annotate(who=user).values("who").annotate(n=Sum("own_spend_micro"))
    return found.values_list("who", "n")


def _flags(chosen: _Chosen) -> Any:
    action = GuardEvent.Action
    # Other guards find what honest users send too.
    about_users = (Guard.INJECTION, Guard.FOUL_LANGUAGE)
    return _events(
        chosen,
        guard__in=about_users,
        action__in=(action.FLAGGED, action.TIGHTENED, action.REFUSED),
    )


def _refused(chosen: _Chosen) -> Any:
    return _events(chosen, action__in=(GuardEvent.Action.REFUSED,))


def _events(chosen: _Chosen, **wanted: Collection[str]) -> Any:
    """Count requests with such a finding in their input."""
    # The events of a request without a job have the same time, and no others have it.
    request = Coalesce(Cast("job_id", TextField()), Cast("at", TextField()))
    stage = GuardEvent.Stage.INPUT
    rows = GuardEvent.objects.filter(
        at__gte=chosen.first, stage=stage, user__isnull=False, **wanted
    )
    return _counted(chosen.of(rows), Count(request, distinct=True))


def _unanswered(chosen: _Chosen) -> Any:
    codes = (FailureCode.ANSWER_REFUSED, FailureCode.ANSWER_UNSAFE)
    ended = Job.objects.of_users().filter(
        status=Status.FAILED, finished_at__gte=chosen.first, error_code__in=codes
    )
    return _counted(chosen.of(ended), Count("pk"))


def _cancels(chosen: _Chosen) -> Any:
    cancelled = Job.objects.of_users().filter(
        status=Status.CANCELLED, cancelled_by=CancelledBy.USER, finished_at__gte=chosen.first
    )
    return _counted(chosen.of(cancelled), Count("pk"))


def _limited(chosen: _Chosen) -> Any:
    kind = RefusedSubmissions.Kind
    return _submissions(chosen, kind.RATE_LIMITED, kind.BUDGET_EXHAUSTED)


def _blocked(chosen: _Chosen) -> Any:
    return _submissions(chosen, RefusedSubmissions.Kind.BLOCKED)


def _submissions(chosen: _Chosen, *kinds: RefusedSubmissions.Kind) -> Any:
    rows = RefusedSubmissions.objects.filter(day__gte=chosen.first.date(), kind__in=kinds)
    return _counted(chosen.of(rows), Sum("count"))


def _counted(rows: QuerySet[Any], figure: Any) -> Any:
    return rows.values("user_id").annotate(n=figure).values_list("user_id", "n")


_FIGURES: Final[Mapping[By, Callable[[_Chosen], Any]]] = {
    By.SPEND: _spend,
    By.FLAGS: _flags,
    By.REFUSED: _refused,
    By.UNANSWERED: _unanswered,
    By.CANCELS: _cancels,
    By.LIMITED: _limited,
    By.BLOCKED: _blocked,
}


def _names(users: Collection[Any]) -> dict[Any, str]:
    people = get_user_model()
    field = people.USERNAME_FIELD
    found = people.objects.filter(pk__in=users).exclude(**{field: EVALUATIONS_ACCOUNT})
    return dict(found.values_list("pk", field))


def _in_force(
    chosen: _Chosen,
) -> tuple[dict[Any, list[AccessBlock]], dict[Any, list[RateOverride]]]:
    """Return the blocks and the rate overrides of the users that have not expired, by user."""
    here = Q(feature__in=("", chosen.slug)) if chosen.slug else Q()
    lasts = Q(expires_at=None) | Q(expires_at__gt=Now())
    blocks: dict[Any, list[AccessBlock]] = {}
    overrides: dict[Any, list[RateOverride]] = {}
    mine, order = Q(user__in=chosen.users or ()), ("feature", "pk")
    for block in AccessBlock.objects.filter(here, lasts, mine).order_by(*order):
        blocks.setdefault(block.user_id, []).append(block)
    for override in RateOverride.objects.filter(here, lasts, mine).order_by(*order):
        overrides.setdefault(override.user_id, []).append(override)
    return blocks, overrides


def _reads(user: Any, slug: str, blocks: Iterable[AccessBlock]) -> tuple[str, ...]:
    told = [access_blocks.notice(each) if each.message else UNSEEN for each in blocks]
    return (*dict.fromkeys(told), *throttles.notices(user, slug))


UNSEEN: Final = "Nothing: the feature is not offered to this user, as if it did not exist."
"""The entry for a user who is blocked without a message."""
