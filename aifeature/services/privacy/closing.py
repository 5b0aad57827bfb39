"""Closes an account: nothing new begins, and what runs is ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.db import transaction

from aifeature.models import CancelledBy, Job, transitions
from aifeature.services import texts
from aifeature.services.dispatch import recovery
from aifeature.services.sign_in import sign_ins

if TYPE_CHECKING:
    from django.contrib.auth.models import User

POLL_S: Final = 0.5
"""Seconds between two looks at jobs that are to end."""


class StillRunningError(Exception):
    """Jobs of the account did not end in time."""


def close(user: User) -> None:
    """Let nothing begin any more: afterwards no job of this person can be inserted.

    A request that was let in before either has its job committed when this returns, or is refused
    by the database (`sql/active_user.sql`). Doing it again changes nothing.
    """
    people = get_user_model().objects
    with transaction.atomic():
        row = people.select_for_update().get(pk=user.pk)
        password = make_password(None) if row.has_usable_password() else row.password
        people.filter(pk=user.pk).update(is_active=False, password=password)
        sign_ins.end_all(user)


def end_jobs(
    user: User,
    *,
    wait_s: float,
    tell: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Cancel the person's open jobs and wait until each has ended.

    What waits ends at once. What runs is stopped by its worker within a second; if that is dead, it
    ends here as soon as its lease has run out.

    Args:
        user: Whose jobs.
        wait_s: Longest wait in seconds.
        tell: Called with a sentence whenever the number of those that still run changes.
        clock: Seconds.
        sleep: Waits for so many seconds.

    Raises:
        StillRunningError: some did not end in time.
    """
    told = texts.CANCELLED_BY_STAFF
    open_jobs = Job.objects.filter(user=user, finished_at=None)
    for job in open_jobs.values_list("pk", flat=True):
        transitions.cancel(job, user_id=user.pk, message=told, by=CancelledBy.ERASURE)
    give_up, seen = clock() + wait_s, 0
    while True:
        recovery.sweep()
        left = open_jobs.count()
        if not left:
            return
        if left != seen:
            tell(f"Waiting for {left} running jobs to end.")
        if clock() >= give_up:
            raise StillRunningError(f"{left} jobs have not ended after {wait_s:.0f} s")
        seen = left
        sleep(POLL_S)
