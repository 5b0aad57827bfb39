"""Settlement of many estimated or unknown calls for one reason: a preview, then batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import BigIntegerField, Case, Count, F, QuerySet, Sum, When

from aifeature.models import UNSURE, Attempt, AttemptState
from aifeature.money import to_usd
from aifeature.services.spend import settlement

LIMIT: Final = 5_000
"""Most calls in one settlement."""

BATCH: Final = 100
"""Calls settled in one step. It takes a second or two, well below a request's time limit."""

_COUNTED: Final = Case(
    When(state=AttemptState.UNKNOWN, then=F("bound_micro")),
    default=F("cost_micro"),
    output_field=BigIntegerField(),
)


class Bill(StrEnum):
    """The operator's finding, for all of the calls."""

    NOTHING = "nothing"
    """The provider billed none of them."""

    COUNTED = "counted"
    """The provider billed each at the amount that is counted for it now."""


@dataclass(frozen=True, slots=True)
class Group:
    """Calls with the same feature, UTC day, state and error code."""

    feature: str
    day: date
    state: AttemptState
    error_code: str
    calls: int
    counted_micro: int
    """Micro-dollars counted for them now."""


@dataclass(frozen=True, slots=True)
class Preview:
    """Calls that a settlement would change."""

    calls: tuple[UUID, ...]
    """Oldest first, at most LIMIT."""
    groups: tuple[Group, ...]
    more: bool
    """Whether more calls exist beyond LIMIT."""

    @property
    def counted_micro(self) -> int:
        return sum(group.counted_micro for group in self.groups)

    def count(self, state: AttemptState) -> int:
        return sum(group.calls for group in self.groups if group.state == state)


@dataclass(frozen=True, slots=True)
class Step:
    """Result of one batch."""

    settled: int
    skipped: int
    """Calls already settled by another person."""
    left: tuple[UUID, ...]


def preview(rows: QuerySet[Attempt]) -> Preview:
    """Return those of the calls that may be settled. Two queries; no change."""
    unsure = rows.filter(state__in=UNSURE).order_by("started_at", "id")
    ids = list(unsure.values_list("pk", flat=True)[: LIMIT + 1])
    calls = tuple(ids[:LIMIT])
    grouped: Any = (
        Attempt.objects.filter(pk__in=calls, state__in=UNSURE)
        .order_by("day", "feature", "state", "error_code")
        .values_list("feature", "day", "state", "error_code")
        .annotate(calls=Count("pk"), counted=Sum(_COUNTED))
    )
    groups = tuple(
        Group(feature, day, AttemptState(state), code, calls=count, counted_micro=int(counted))
        for feature, day, state, code, count, counted in grouped
    )
    return Preview(calls, groups, more=len(ids) > LIMIT)


def settle_batch(
    calls: Sequence[UUID],
    bill: Bill,
    *,
    reason: str,
    user_id: int | None,
    note: Callable[[Attempt], object],
) -> Step:
    """Settle the first BATCH of these calls, each in its own transaction.

    Calls that another person has settled meanwhile are skipped.

    Args:
        calls: The remaining calls of the preview.
        bill: The amount that the provider billed.
        reason: Source of that information; never empty.
        user_id: The operator; None for a command.
        note: Writes the audit entry of a settled call, in its transaction.
    """
    settled = skipped = 0
    counted = _counted(calls[:BATCH])
    for call in calls[:BATCH]:
        micro = 0 if bill is Bill.NOTHING else counted.get(call, 0)
        try:
            with transaction.atomic():
                note(
                    settlement.settle_unknown(
                        attempt_id=call,
                        cost_usd=to_usd(micro),
                        reason=reason,
                        user_id=user_id,
                    )
                )
        except (settlement.NotUnknownError, Attempt.DoesNotExist):
            skipped += 1
        else:
            settled += 1
    return Step(settled, skipped, tuple(calls[BATCH:]))


def _counted(calls: Sequence[UUID]) -> dict[UUID, int]:
    """Return the counted micro-dollars of each call. Only a settlement changes them."""
    rows = Attempt.objects.filter(pk__in=calls, state__in=UNSURE)
    return dict(rows.annotate(counted=_COUNTED).values_list("pk", "counted"))
