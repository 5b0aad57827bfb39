"""Ratings of answers, signals of readers, and outcomes."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest
from ninja import Router, Status

from aifeature.api import bodies, scope
from aifeature.api.auth import user_of
from aifeature.api.openapi import CSRF, documented
from aifeature.api.routes import NO_JOB, visible
from aifeature.api.schemas import (
    FeedbackBody,
    FeedbackOut,
    OutcomeBody,
    SignalBody,
    UserOutcomeBody,
)
from aifeature.models import Feedback
from aifeature.services.feedback import outcomes, signals, votes
from aifeature.services.feedback.signals import Signal

router = Router(tags=["Feedback"])

_BODY = {
    400: "`invalid_json`: the body is not JSON; `bad_request`: the request is malformed.",
    413: "`input_too_large`: the body has more than 32,768 bytes.",
    415: "`unsupported_media_type`: the body is not declared as JSON.",
    422: "`invalid_input`: the body does not have the expected shape; `errors` lists the fields.",
}
_NOT_ENDED = "`job_not_ended`: the job has not ended."


@router.post(
    "/jobs/{job_id}/feedback",
    response=FeedbackOut,
    operation_id="rate_job",
    summary="Rate a job",
    openapi_extra=documented(
        CSRF,
        NO_JOB,
        _BODY,
        {
            409: f"{_NOT_ENDED} `not_rateable`: it ended without an answer and did not fail, or"
            " its text was deleted."
        },
        body=FeedbackBody,
    ),
)
def rate_job(request: HttpRequest, job_id: str) -> FeedbackOut:
    """Rate a job, or replace your rating of it: there is one for each job.

    A job that succeeded is rated 1 or -1. One that failed can be rated -1, to complain. The answer
    is kept with your first rating. Personal data in the comment is replaced before it is stored.
    """
    job = visible(request, job_id)
    body = bodies.read(request, FeedbackBody)
    rated = votes.rate(
        user=user_of(request),
        job_id=job.id,
        rating=body.rating,
        reasons=body.reasons,
        comment=body.comment,
    )
    return _out(rated)


@router.get(
    "/jobs/{job_id}/feedback",
    response=FeedbackOut,
    operation_id="get_feedback",
    summary="Your rating of a job",
    openapi_extra=documented(
        {404: "`not_found`: you have no job with this id; `no_feedback`: you have not rated it."}
    ),
)
def get_feedback(request: HttpRequest, job_id: str) -> FeedbackOut:
    """Get your rating of a job."""
    return _out(votes.get(visible(request, job_id)))


@router.post(
    "/jobs/{job_id}/signals",
    response={204: None},
    operation_id="note_signal",
    summary="Note what you did with an answer",
    openapi_extra=documented(CSRF, NO_JOB, _BODY, {409: _NOT_ENDED}, body=SignalBody),
)
def note_signal(request: HttpRequest, job_id: str) -> Status[None]:
    """Note an action once: the answer was copied, edited, or requested again.

    `abandoned` means that you left before the end; `read` takes it back. A busy server may drop
    a signal. The response is 204 in each case.
    """
    job = visible(request, job_id)
    body = bodies.read(request, SignalBody)
    signals.note(user=user_of(request), job_id=job.id, signal=Signal(body.name))
    return Status(204, None)


@router.post(
    "/jobs/{job_id}/outcomes",
    response={204: None},
    operation_id="record_outcome_of_job",
    summary="Record what came of a job",
    openapi_extra=documented(CSRF, NO_JOB, _BODY, body=OutcomeBody),
)
def record_outcome_of_job(request: HttpRequest, job_id: str) -> Status[None]:
    """Record an outcome of a job, such as `ticket_closed`. It counts once for each name.

    At most 200 outcomes of a user count in a UTC day. More are ignored, with the same response.
    """
    job = visible(request, job_id)
    body = bodies.read(request, OutcomeBody)
    outcomes.record_of_job(user=user_of(request), job_id=job.id, name=body.name)
    return Status(204, None)


@router.post(
    "/outcomes",
    response={204: None},
    operation_id="record_outcome",
    summary="Record an outcome without a job",
    openapi_extra=documented(CSRF, _BODY, body=UserOutcomeBody),
)
def record_outcome(request: HttpRequest) -> Status[None]:
    """Record an outcome for a feature without a job, also if you may not use the feature.

    Report it for all users in the same way: it shows what a feature changes, compared with users
    who never get it. It counts once for each name, feature and UTC day. The response is the same
    for an unknown feature.
    """
    body = bodies.read(request, UserOutcomeBody)
    scope.check_feature(request, body.feature)
    outcomes.record(user=user_of(request), feature=body.feature, name=body.name)
    return Status(204, None)


def _out(row: Feedback) -> FeedbackOut:
    job_id: UUID = row.job_id
    return FeedbackOut(
        job=job_id,
        rating=row.rating,
        reasons=row.reasons,
        comment=row.comment,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )
