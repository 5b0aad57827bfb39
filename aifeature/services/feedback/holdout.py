"""The value of a feature: outcomes of the hold-out, which never gets it, against those of others.

The comparison is by intention to treat: a user's place decides the side, whether they use the
feature or not. Otherwise eager users would be compared with all users. Staff and users who were
invited by name are on neither side, since no place decides about them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.db.models import (
    BooleanField,
    Count,
    ExpressionWrapper,
    F,
    Func,
    IntegerField,
    QuerySet,
    Value,
)
from django.db.models.expressions import Combinable
from django.db.models.lookups import LessThan

from aifeature.models import (
    EVALUATIONS_ACCOUNT,
    ControlChange,
    FeatureControl,
    JobSignal,
    Stage,
)
from aifeature.policies.intervals import Interval, Share, newcombe
from aifeature.services.feedback.figures import MOST_OUTCOMES

if TYPE_CHECKING:
    from django.contrib.auth.models import User

LEAST_USERS: Final = 20
"""Users of each side, below which there is no comparison."""

_DECIDING: Final = ("holdout_percent", "seed")
"""Fields of a control whose change moves users between the sides."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One outcome on both sides."""

    name: str
    others: Share
    held_out: Share

    @property
    def is_enough(self) -> bool:
        return min(self.others.total, self.held_out.total) >= LEAST_USERS

    @property
    def difference(self) -> float | None:
        """The share of others minus that of the hold-out; None with too few users."""
        if not self.is_enough:
            return None
        return self.others.count / self.others.total - self.held_out.count / self.held_out.total

    @property
    def interval(self) -> Interval | None:
        """The interval of the difference; None with too few users."""
        return newcombe(self.others, self.held_out) if self.is_enough else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A hold-out, its beginning, and each outcome since then."""

    percent: int
    since: datetime
    outcomes: tuple[Compared, ...]
    is_open: bool
    """Whether users get the feature by their place. Otherwise there is nothing to compare with."""


def compare(slug: str) -> Comparison | None:
    """Return the comparison of a feature; None if it has no hold-out."""
    control = FeatureControl.objects.filter(feature=slug).first()
    if control is None or not control.holdout_percent:
        return None
    began = ControlChange.objects.filter(feature=slug, field__in=_DECIDING).order_by("-at", "-id")
    since = began.values_list("at", flat=True).first()
    if since is None:
        return None
    reach = {Stage.EVERYONE: 100, Stage.PERCENT: control.percent}.get(control.known_stage, 0)
    users = _placed(control, reach) if reach else None
    return Comparison(
        percent=control.holdout_percent,
        since=since,
        outcomes=() if users is None else tuple(_of_each(control, since, users)),
        is_open=users is not None,
    )


def _placed(control: FeatureControl, reach: int) -> QuerySet[Any]:
    """Return the users whose place would give them the feature, with their side."""
    seed = control.seed or control.feature
    people: QuerySet[User] = get_user_model().objects.filter(
        is_active=True, is_staff=False, is_superuser=False
    )
    return (
        people.exclude(username=EVALUATIONS_ACCOUNT)
        .exclude(pk__in=control.beta_users.values("pk"))
        .annotate(stage_place=_place(seed, "", "pk"))
        .filter(stage_place__lt=reach)
        .annotate(is_held_out=_is_held_out(control, "pk"))
    )


def _is_held_out(control: FeatureControl, user: str) -> Combinable:
    place = _place(control.seed or control.feature, "holdout", user)
    return ExpressionWrapper(LessThan(place, control.holdout_percent), BooleanField())


def _place(seed: str, purpose: str, user: str) -> Func:
    """Return a user's place in SQL, 0 to 99. `aifeature.policies.percent` computes the same."""
    return Func(
        Value(seed), Value(purpose), F(user), function="aif_place", output_field=IntegerField()
    )


def _of_each(control: FeatureControl, since: datetime, users: QuerySet[Any]) -> list[Compared]:
    """Return the comparison of each outcome. The users are read twice, for any number of outcomes.

    Outcomes of a job do not count: users of the hold-out have no jobs.
    """
    reported = JobSignal.objects.filter(
        kind=JobSignal.Kind.OUTCOME, feature=control.feature, job=None, at__gte=since
    )
    totals = dict(users.order_by().values_list("is_held_out").annotate(n=Count("pk")))
    most = reported.values("name").annotate(n=Count("pk")).order_by("-n", "name")
    names = [each["name"] for each in most[:MOST_OUTCOMES]]
    counted = (
        reported.filter(name__in=names, user__in=users.values("pk"))
        .annotate(is_held_out=_is_held_out(control, "user_id"))
        .values_list("name", "is_held_out")
        .annotate(n=Count("user", distinct=True))
    )
    having = {(name, is_held_out): n for name, is_held_out, n in counted}

    def side(name: str, *, is_held_out: bool) -> Share:
        return Share(having.get((name, is_held_out), 0), totals.get(is_held_out, 0))

    return [
        Compared(name, side(name, is_held_out=False), side(name, is_held_out=True))
        for name in names
    ]
