"""A job as one line of a list."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from aifeature.models import TERMINAL, Job, Status
from aifeature.services.privacy import retention
from aifeature.web import show, titles
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
    """The beginning of what its user sent, else the feature's title."""
    about: str
    """The feature's title, or why the text is not the title."""
    state: State
    took: str
    """Empty while it has not ended."""


def row(job: Job) -> Row:
    """The line of a job that `history.page` has found."""
    ended = Status(job.status) in TERMINAL
    title = titles.shortened(getattr(job, "beginning", None) or "")
    return Row(
        job=job,
        title=title or show.title(job),
        about=show.title(job) if title else retention.told(job),
        state=show.state(job),
        took=show.duration(show.took(job, timezone.now())) if ended else "",
    )
