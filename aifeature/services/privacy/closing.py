"""Closing of an account: no new job starts, and open jobs are cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.db import transaction

from aifeature.models import CancelledBy, transitions
from aifeature.services import texts
from aifeature.services.dispatch import recovery
from aifeature.services.privacy import records
from aifeature.services.sign_in import sign_ins

if TYPE_CHECKING:
    from django.contrib.auth.models import User

POLL_S: Final = 0.5
"""Seconds between two checks for open jobs."""


class StillRunningError(Exception):
    """Jobs of the account did not end in time."""


def close(user: User) -> None:
    """Deactivate the account. Afterwards no job of the user can be inserted. Idempotent.

    A request that was accepted before has its job committed when this returns, or the database
    refuses it (`sql/active_user.sql`).
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
    report: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Cancel the user's open jobs and wait until each has ended.

    A queued job ends immediately. A running job is stopped by its worker within a second, or ended
    here when its lease has expired. `report` gets a sentence when the number of open jobs changes.

    Raises:
        StillRunningError: Jobs did not end within `wait_s`.
    """
    message = texts.CANCELLED_BY_STAFF
    open_jobs = records.open_jobs(user)  # with copies, which belong to the account of evaluations
    for job, owner in open_jobs.values_list("pk", "user_id"):
        transitions.cancel(job, user_id=owner, message=message, by=CancelledBy.ERASURE)
    give_up, seen = clock() + wait_s, 0
    while True:
        recovery.sweep()
        left = open_jobs.count()
        if not left:
            return
        if left != seen:
            report(f"Waiting for {left} running jobs to end.")
        if clock() >= give_up:
            raise StillRunningError(f"{left} jobs have not ended after {wait_s:.0f} s")
        seen = left
        sleep(POLL_S)
