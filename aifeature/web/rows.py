"""A job as one row of a list."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from aifeature.models import TERMINAL, Job, Status
from aifeature.services.privacy import retention
from aifeature.web import show, titles
from aifeature.web.show import State

NOTHING_LEFT = "The text is no longer stored."


def nothing_left(job: Job) -> str:
    """Return the sentence that replaces the deleted text of a job."""
    return retention.deletion_notice(job) or NOTHING_LEFT


@dataclass(frozen=True, slots=True)
class Row:
    job: Job
    title: str
    """The start of the user's text, else the feature's title."""
    about: str
    """The feature's title, or why the title is not the user's text."""
    state: State
    took: str
    """Duration; empty until the job has ended."""


def row(job: Job) -> Row:
    """Return the row of a job from `history.page`."""
    ended = Status(job.status) in TERMINAL
    title = titles.shortened(getattr(job, "beginning", None) or "")
    return Row(
        job=job,
        title=title or show.title(job),
        about=show.title(job) if title else retention.deletion_notice(job),
        state=show.state(job),
        took=show.duration(show.took(job, timezone.now())) if ended else "",
    )
