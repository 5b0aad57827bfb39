"""Settles many calls whose bill is not sure for one reason: preview first, then in batches."""

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
"""Calls that one settlement takes at most."""

BATCH: Final = 100
"""Calls settled in one step: a second or two, well below the time limit of a request."""

_COUNTED: Final = Case(
    When(state=AttemptState.UNKNOWN, then=F("bound_micro")),
    default=F("cost_micro"),
    output_field=BigIntegerField(),
)


class Bill(StrEnum):
    """What a person found out about all of these calls."""

    NOTHING = "nothing"
    """The provider billed none of them."""

    COUNTED = "counted"
    """The provider billed for each what is counted for it now."""


@dataclass(frozen=True, slots=True)
class Group:
    """Calls that have feature, UTC day, state and error code in common."""

    feature: str
    day: date
    state: AttemptState
    error_code: str
    calls: int
    counted_micro: int
    """Micro-dollars counted as spent for them now."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a settlement would take."""

    calls: tuple[UUID, ...]
    """Oldest first, at most LIMIT."""
    groups: tuple[Group, ...]
    more: bool
    """Whether there are others beyond LIMIT."""

    @property
    def counted_micro(self) -> int:
        """Micro-dollars counted as spent now, in all."""
        return sum(group.counted_micro for group in self.groups)

    def count(self, state: AttemptState) -> int:
        """How many calls are in this state."""
        return sum(group.calls for group in self.groups if group.state == state)


@dataclass(frozen=True, slots=True)
class Step:
    """What one batch has done."""

    settled: int
    skipped: int
    """Calls that somebody else had settled by then."""
    left: tuple[UUID, ...]


def preview(rows: QuerySet[Attempt]) -> Preview:
    """Look at those of these calls whose bill is not sure: two queries; nothing changes."""
    unsure = rows.filter(state__in=UNSURE).order_by("started_at", "id")
    found = list(unsure.values_list("pk", flat=True)[: LIMIT + 1])
    calls = tuple(found[:LIMIT])
    named: Any = (
        Attempt.objects.filter(pk__in=calls, state__in=UNSURE)
        .order_by("day", "feature", "state", "error_code")
        .values_list("feature", "day", "state", "error_code")
        .annotate(calls=Count("pk"), counted=Sum(_COUNTED))
    )
    groups = tuple(
        Group(feature, day, AttemptState(state), code, calls=count, counted_micro=int(counted))
        for feature, day, state, code, count, counted in named
    )
    return Preview(calls, groups, more=len(found) > LIMIT)


def settle_batch(
    calls: Sequence[UUID],
    bill: Bill,
    *,
    reason: str,
    user_id: int | None,
    note: Callable[[Attempt], object],
) -> Step:
    """Settle the first BATCH of these calls, each in a transaction of its own.

    A call that another person settled meanwhile is skipped and counted.

    Args:
        calls: What is left of the preview's calls.
        bill: What the provider billed for them.
        reason: How that was found out; never empty.
        user_id: Who found it out; None for a command.
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
    """What each is counted at now. It changes only when the call is settled."""
    rows = Attempt.objects.filter(pk__in=calls, state__in=UNSURE)
    return dict(rows.annotate(counted=_COUNTED).values_list("pk", "counted"))
