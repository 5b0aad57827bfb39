"""All sums behind bills, caps and reports, to prove that an erasure changes none."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Count, Sum
from django.db.models.functions import Coalesce

from aifeature.models import Attempt, Job, SpendWindow

_TOKENS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def of_everything() -> dict[str, Any]:
    """Return counts and sums of calls by state, of jobs and of windows, over all users.

    Two calls in one transaction at REPEATABLE READ differ only by that transaction's changes.
    """
    amounts = _sums("cost_micro", "bound_micro", *_TOKENS)
    calls = Attempt.objects.order_by("state").values("state").annotate(n=Count("pk"), **amounts)
    return {
        "calls": list(calls),
        "jobs": Job.objects.aggregate(n=Count("pk"), **_sums("charge_micro", *_TOKENS)),
        "windows": SpendWindow.objects.aggregate(
            n=Count("pk"), **_sums("spent_micro", "held_micro")
        ),
    }


def _sums(*fields: str) -> dict[str, Any]:
    return {f"sum_{name}": Coalesce(Sum(name), 0) for name in fields}
