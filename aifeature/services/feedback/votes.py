"""Ratings of answers: one per user and job, changeable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.db import transaction

from aifeature.models import TERMINAL, Feedback, Job, Origin, Status
from aifeature.services import jobs
from aifeature.services.feedback import reasons as known
from aifeature.services.feedback.refusals import NoFeedback, NotEnded, NotRateable
from aifeature.services.guards import hidden
from aifeature.services.jobs.refusals import InvalidInput

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MAX_COMMENT: Final = 2_000
"""Characters of the longest comment."""

TOO_LONG: Final = "A comment has at most {most:,} characters; this one has {found:,}. Shorten it."
NOT_ENDED: Final = "This request has not ended, so there is nothing to rate yet."
NO_ANSWER: Final = "This request ended without an answer, so there is nothing to rate."
DELETED: Final = "The text of this request was deleted, so it can no longer be rated."
FAILED_UP: Final = "A request that failed can only be rated down."

_CHANGEABLE: Final = ("rating", "reasons", "comment", "changed_at")


def may_rate(job: Job) -> bool:
    """Return whether the job has something to rate: an answer, or a failure to complain about."""
    return not _problem(job)


def of(job: Job) -> Feedback | None:
    """Return the rating of a job; None if it has none."""
    return Feedback.objects.filter(job=job).first()


def get(job: Job) -> Feedback:
    """Return the rating of a job. Raises NoFeedback if it has none."""
    found = of(job)
    if found is None:
        raise NoFeedback("You have not rated this request.")
    return found


def rate(
    *, user: User, job_id: UUID, rating: int, reasons: Iterable[str] = (), comment: str = ""
) -> Feedback:
    """Store or replace the user's rating of their job, and return it.

    `rating` is 1 or -1. `reasons` are slugs of that rating. Hidden characters of the comment are
    removed, and personal data in it is replaced. The answer, its prompt version and its model are
    kept as they were at the first rating.

        >>> rate(user=ada, job_id=job.id, rating=-1, reasons=["wrong"], comment="It is 30 days.")

    Raises:
        NotFound: the user has no such job.
        InvalidInput: a value is not valid; `errors` names the field.
        NotEnded: the job has not ended.
        NotRateable: it has no answer and did not fail, or its text was deleted.
    """
    job = jobs.get(user=user, job_id=job_id)
    words = _checked_comment(comment)
    with transaction.atomic():
        # Retention waits for this lock, or has blanked the row that is read here.
        job = Job.objects.select_for_update(no_key=True).get(pk=job.pk)
        _check_state(job)
        chosen = _checked_reasons(rating, reasons, job)
        row = Feedback(
            job=job,
            user=user,
            feature=job.feature,
            rating=rating,
            first_rating=rating,
            reasons=chosen,
            comment=words,
            answer=job.result,
            prompt_version=job.prompt_version,
            model=job.model,
        )
        # One statement: two first ratings at the same time become one row.
        Feedback.objects.bulk_create(
            [row], update_conflicts=True, unique_fields=["job"], update_fields=_CHANGEABLE
        )
    return Feedback.objects.get(job=job)


def _check_state(job: Job) -> None:
    if problem := _problem(job):
        raise NotEnded(problem) if job.status not in TERMINAL else NotRateable(problem)


def _problem(job: Job) -> str:
    """Return why a job cannot be rated; empty if it can be."""
    if job.status not in TERMINAL:
        return NOT_ENDED
    if job.status not in {Status.SUCCEEDED, Status.FAILED} or job.origin != Origin.USER:
        return NO_ANSWER
    if job.content_blanked_at is not None:
        return DELETED
    return NO_ANSWER if job.status == Status.SUCCEEDED and job.result is None else ""


def _checked_comment(comment: str) -> str:
    text = comment.replace("\r\n", "\n")
    if len(text) > MAX_COMMENT:
        raise _invalid("comment", TOO_LONG.format(most=MAX_COMMENT, found=len(text)))
    return hidden.clean(text)[0].strip()


def _checked_reasons(rating: int, reasons: Iterable[str], job: Job) -> list[str]:
    if rating not in known.OF or isinstance(rating, bool):
        raise _invalid("rating", "A rating is 1 or -1.")
    if job.status == Status.FAILED and rating == known.UP:
        raise _invalid("rating", FAILED_UP)
    offered = known.OF[rating] if job.status == Status.SUCCEEDED else {}
    chosen = list(dict.fromkeys(reasons))
    if not set(chosen) <= set(offered):
        words = f"one of: {', '.join(offered)}" if offered else "left out for a failed request"
        raise _invalid("reasons", f"With this rating, a reason must be {words}.")
    return [slug for slug in offered if slug in chosen]


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, errors=[{"field": field, "message": message}])
