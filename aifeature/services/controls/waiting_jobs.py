"""Earlier start times for waiting jobs after an operator changed a rate."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models.functions import Now

from aifeature.models import Job, Status
from aifeature.reasons import WaitReason
from aifeature.services.controls.cache import GLOBAL, POLL_S

RATES: Final = frozenset({"tokens_per_minute", "user_in_flight"})
"""Fields of a control that decide when a waiting job is sent."""

_WAIT_FOR_RATES: Final = (WaitReason.USER_TOKENS, WaitReason.USER_BUSY)
"""Wait reasons that depend on RATES. The longest such wait is ten minutes."""

SOON: Final = timedelta(seconds=2 * POLL_S)
"""Time until every process has read the change. Before, one could defer the job at the old rate."""


def reschedule(slug: str, *, user_id: int | None = None) -> int:
    """Make jobs that wait for a rate due after SOON. Return their number.

    Call it in the transaction of the change. A job that still does not fit gets a new time at the
    new rate. Locked rows are skipped: another process is handling their jobs. GLOBAL or an empty
    slug means all features.
    """
    waiting = Job.objects.filter(
        status=Status.QUEUED, wait_reason__in=_WAIT_FOR_RATES, run_at__gt=Now() + SOON
    )
    if slug not in {"", GLOBAL}:
        waiting = waiting.filter(feature=slug)
    if user_id is not None:
        waiting = waiting.filter(user_id=user_id)
    free = waiting.select_for_update(skip_locked=True, no_key=True).values("pk")
    return Job.objects.filter(pk__in=free, status=Status.QUEUED).update(run_at=Now() + SOON)
