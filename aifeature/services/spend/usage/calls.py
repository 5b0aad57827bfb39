"""Comparison of the ledger with single calls of the provider."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from aifeature.models import Attempt, AttemptState
from aifeature.services.spend.usage.exports import KINDS, Call
from workers.inference import NotPriced, pricing

AROUND: Final = timedelta(hours=1)
"""Margin around the export's time for rows of the ledger: clocks differ, and calls take time."""

CHUNK: Final = 1_000


class Kind(StrEnum):
    """Kind of a difference. The operator reads the value."""

    MISSING = "not in the ledger"
    TWICE = "sent more than once"
    SETTLES = "unknown here, known there"
    OPEN = "open here, ended there"
    BILLED = "failed here, billed there"
    ABOVE = "billed above what is counted"
    WITHIN = "estimated here, billed within its ceiling"
    TOKENS = "tokens differ"
    UNSEEN = "never arrived there"


@dataclass(frozen=True, slots=True)
class Difference:
    """One call on which the ledger and the provider differ."""

    kind: Kind
    at: datetime
    attempt: UUID | None
    request_id: str
    model: str
    ledger_micro: int
    """Amount in the ledger: the bound of an unknown call, the ceiling of an estimated one."""

    provider_micro: int | None
    """Amount billed by the provider, at our prices; None without a price."""

    @property
    def explained(self) -> bool:
        """Whether the call was estimated and billed within its ceiling."""
        return self.kind is Kind.WITHIN


def compare(calls: Sequence[Call], *, provider: str) -> list[Difference]:
    """Return the differences, oldest first.

    A call is matched with a row by its attempt id, else by its request id. A row that the export
    lacks is a difference only between the export's first and last call. The export holds at least
    one call. Rows of other providers are ignored.
    """
    groups: dict[UUID | str, list[Call]] = {}
    for call in calls:
        groups.setdefault(call.attempt or call.request_id, []).append(call)
    by_request = {call.request_id: key for key, group in groups.items() for call in group}
    first, last = min(call.at for call in calls), max(call.at for call in calls)
    found: list[Difference] = []
    for row in _rows(groups, provider=provider, first=first, last=last):
        key = row.id if row.id in groups else by_request.get(row.request_id, "")
        if group := groups.pop(key, None):
            found += _of_both(row, group)
        elif first <= row.started_at <= last and row.spend_micro:
            found.append(_difference(Kind.UNSEEN, row, 0))
    found += [_missing(group) for group in groups.values() if any(map(_counts, group))]
    return sorted(found, key=lambda difference: difference.at)


def _rows(
    groups: dict[UUID | str, list[Call]], *, provider: str, first: datetime, last: datetime
) -> Iterator[Attempt]:
    """Yield rows of the export's time, then other rows that the export names."""
    ledger = Attempt.objects.filter(provider=provider).defer("request", "output", "error_detail")
    within = ledger.filter(started_at__range=(first - AROUND, last + AROUND))
    yield from within.iterator(chunk_size=CHUNK)
    left = [key for key in groups if isinstance(key, UUID)]
    for start in range(0, len(left), CHUNK):
        yield from ledger.filter(id__in=left[start : start + CHUNK])


def _of_both(row: Attempt, group: list[Call]) -> Iterator[Difference]:
    billed = [call for call in group if call.usage is not None]
    if not all(call.ended for call in group):
        return  # still in flight at the provider: compare again with a later export
    bill = _cost(billed)
    if kind := Kind.TWICE if len(billed) > 1 else _kind(row, billed, bill):
        yield _difference(kind, row, bill)


def _kind(row: Attempt, billed: list[Call], bill: int | None) -> Kind | None:
    """Return the difference of a call that was billed at most once; None if there is none."""
    above = bill is None or bill > row.spend_micro
    match row.state:
        case AttemptState.STARTED:
            return Kind.OPEN
        case AttemptState.UNKNOWN:
            return Kind.ABOVE if above else Kind.SETTLES
        case AttemptState.ESTIMATED:
            return Kind.ABOVE if above else Kind.WITHIN
        case AttemptState.FAILED:
            return Kind.BILLED if billed else None
    by_hand = row.settled_at is not None
    if bill == row.cost_micro and (by_hand or bill == 0):
        return None  # after a manual settlement or a cost of 0, tokens may differ
    same = _tokens_of(row) == _tokens(billed) and all(call.model == row.model for call in billed)
    return None if same else Kind.TOKENS


def _counts(call: Call) -> bool:
    """Return whether a call may cost something. A refused call costs nothing."""
    return call.usage is not None or not call.ended


def _difference(kind: Kind, row: Attempt, provider_micro: int | None) -> Difference:
    return Difference(
        kind=kind,
        at=row.started_at,
        attempt=row.id,
        request_id=row.request_id,
        model=row.model,
        ledger_micro=row.spend_micro,
        provider_micro=provider_micro,
    )


def _missing(group: list[Call]) -> Difference:
    call = group[0]
    return Difference(
        kind=Kind.MISSING,
        at=call.at,
        attempt=call.attempt,
        request_id=call.request_id,
        model=call.model,
        ledger_micro=0,
        provider_micro=_cost(group),
    )


def _cost(calls: Sequence[Call]) -> int | None:
    try:
        return sum(pricing.cost_micro(call.model, call.usage) for call in calls if call.usage)
    except NotPriced:
        return None


def _tokens(calls: Sequence[Call]) -> list[int]:
    return [sum(getattr(call.usage, kind) for call in calls) for kind in KINDS]


def _tokens_of(row: Attempt) -> list[int]:
    return [getattr(row, kind) for kind in KINDS]
