"""Jobs that wait for a rate, brought forward when an operator changes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models.functions import Now

from aifeature.models import Job, Status
from aifeature.reasons import WaitReason
from aifeature.services.controls.cache import GLOBAL, POLL_S

RATES: Final = frozenset({"tokens_per_minute", "user_in_flight"})
"""Fields of a feature's control that decide when a waiting job is sent."""

_WAIT_FOR_RATES: Final = (WaitReason.USER_TOKENS, WaitReason.USER_BUSY)
"""Jobs with these reasons wait for them; the longest wait is ten minutes."""


SOON: Final = timedelta(seconds=2 * POLL_S)
"""By then every process has read the change: sooner, one would defer the job at the old rate."""


def look_again(slug: str, *, user_id: int | None = None) -> int:
    """Make the jobs due within a second that wait for a rate of a feature.

    Call it in the change's transaction. Those that still do not fit are given a new time, at the
    new rate. A row that is locked is skipped: its job is being looked at.

    Args:
        slug: The feature; GLOBAL or an empty text for all.
        user_id: Of this user alone; None for all.
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
