"""Implicit signals: what readers do with an answer. They are few bytes, and may be lost.

Two others are derived from jobs by `figures`: the same input sent again within an hour, which is
`regenerated` too, and a user who comes back within seven days.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.db import DatabaseError, OperationalError, transaction

from aifeature.models import TERMINAL, Job, JobSignal, Status
from aifeature.services import jobs
from aifeature.services.feedback.refusals import NotEnded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.contrib.auth.models import User
    from django.db.models import QuerySet

logger = logging.getLogger(__name__)


class Signal(StrEnum):
    """An action of a reader."""

    COPIED = "copied"
    EDITED = "edited"
    REGENERATED = "regenerated"
    ABANDONED = "abandoned"
    READ = "read"


STORED: Final = frozenset(Signal) - {Signal.READ}
"""`read` is not stored: it takes `abandoned` back."""

_AT_ONCE: Final = 2
"""Signals that a process stores at the same time. More are dropped before their first query."""

_places: Final = threading.BoundedSemaphore(_AT_ONCE)


def note(*, user: User, job_id: UUID, signal: Signal) -> bool:
    """Store a signal once per job. Return False if the server is busy and dropped it.

    Raises:
        NotFound: the user has no such job.
        NotEnded: the job has no answer yet that could be copied, edited or regenerated.
    """
    with _place() as has_place:
        if not has_place:
            return False
        job = jobs.get(user=user, job_id=job_id)
        if signal is not Signal.ABANDONED and job.status not in TERMINAL:
            raise NotEnded("This request has not ended, so there is no answer yet.")
        try:
            with transaction.atomic():
                _store(job, signal)
        except OperationalError as error:
            logger.warning("signal %s dropped: %s", signal.value, type(error).__name__)
            return False
    return True


def note_sent_again(*, user: User, earlier: UUID, new: Job) -> None:
    """Note that a new job was made from an earlier one with an answer, if its input was changed.

    An unchanged input is `regenerated`, which figures derive. The new job is stored already, so
    this never raises.
    """
    try:
        old = Job.objects.filter(pk=earlier, user=user, feature=new.feature).first()
        if old is None or old.status != Status.SUCCEEDED or old.pk == new.pk:
            return
        if old.request_digest != new.request_digest:
            note(user=user, job_id=old.pk, signal=Signal.EDITED)
    except DatabaseError as error:
        logger.warning("signal edited dropped: %s", type(error).__name__)


def was_left(job: Job) -> bool:
    """Return whether its reader left before the end and has not come back."""
    return _of(job).filter(name=Signal.ABANDONED).exists()


def _store(job: Job, signal: Signal) -> None:
    if signal is Signal.READ:
        _of(job).filter(name=Signal.ABANDONED).delete()
        return
    row = JobSignal(
        kind=JobSignal.Kind.IMPLICIT,
        name=signal.value,
        job=job,
        user_id=job.user_id,
        feature=job.feature,
    )
    JobSignal.objects.bulk_create([row], ignore_conflicts=True)


def _of(job: Job) -> QuerySet[JobSignal]:
    return JobSignal.objects.filter(job=job, kind=JobSignal.Kind.IMPLICIT)


@contextmanager
def _place() -> Iterator[bool]:
    taken = _places.acquire(blocking=False)
    try:
        yield taken
    finally:
        if taken:
            _places.release()
