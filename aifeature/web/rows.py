"""A job as one line of a list."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from aifeature.models import TERMINAL, Job, Status
from aifeature.services import retention
from aifeature.web import show
from aifeature.web.show import State

NOTHING_LEFT = "The text is no longer stored."


def nothing_left(job: Job) -> str:
    """What stands where the text of a job stood."""
    return retention.told(job) or NOTHING_LEFT


@dataclass(frozen=True, slots=True)
class Row:
    """What a list shows of a job."""

    job: Job
    title: str
    state: State
    excerpt: str
    took: str
    """Empty while it has not ended."""


def row(job: Job) -> Row:
    """The line of a job that `history.page` has found."""
    ended = Status(job.status) in TERMINAL
    return Row(
        job=job,
        title=show.title(job),
        state=show.state(job),
        excerpt=getattr(job, "excerpt", None) or nothing_left(job),
        took=show.duration(show.took(job, timezone.now())) if ended else "",
    )
