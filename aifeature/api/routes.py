"""The operations. Each reads the request, calls a service and returns the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Header, Query, Router
from ninja.errors import AuthenticationError

from aifeature.api import access, cursors, fair_threads, rate, scope, waiting
from aifeature.api.auth import user_of
from aifeature.api.openapi import (
    CSRF,
    LOCATION,
    OF_A_JOB,
    OF_FEATURES,
    RATE,
    REPLAYED,
    documented,
)
from aifeature.api.representation import NAMESPACE, feature_out, job_out, job_path, usage_out
from aifeature.api.schemas import FeatureList, JobOut, JobPage, SubmissionBody, UsageOut
from aifeature.api.submission import read_input
from aifeature.models import Status
from aifeature.services import jobs
from aifeature.services.jobs.refusals import NotFound

if TYPE_CHECKING:
    from aifeature.models import Job

MAX_WAIT_S = 30.0
"""Longest long poll in seconds: below the idle timeout of common proxies (60 s)."""

UNDER_WAY = frozenset({Status.QUEUED, Status.RUNNING})
"""States in which a long poll waits. It does not wait for an approval, which may take days."""

router = Router(tags=["AI features"])

NO_SUCH_JOB = "You have no request with this id."  # the text of services.jobs
NO_JOB = {404: "`not_found`: you have no job with this id."}
_BAD_PARAMETER = {422: "`invalid_input`: a parameter is not valid; `errors` lists it."}


@router.get(
    "/features",
    response=FeatureList,
    operation_id="list_features",
    summary="Features you may use",
    openapi_extra=documented(links={200: OF_FEATURES}),
)
def list_features(request: HttpRequest) -> FeatureList:
    """List the features that you may use, with the JSON Schemas of their input and result."""
    found = jobs.visible_features(user=user_of(request))
    shown = [feature for feature in found if scope.covers(request, feature.slug)]
    return FeatureList(items=[feature_out(feature) for feature in shown])


@router.get(
    "/usage",
    response=UsageOut,
    operation_id="get_usage",
    summary="Your usage, and what is left",
    openapi_extra=documented(),
)
def get_usage(request: HttpRequest) -> UsageOut:
    """Get your requests by feature and day, and what is left of your limits today."""
    found = jobs.usage.of(user_of(request))
    shown = [each for each in found.features if scope.covers(request, each.feature.slug)]
    return UsageOut(resets_at=found.resets_at, items=[usage_out(each) for each in shown])


@router.post(
    "/features/{slug}/jobs",
    response={202: JobOut},
    operation_id="submit_job",
    summary="Submit a job",
    openapi_extra=documented(
        CSRF,
        {
            400: "`invalid_json`: the body is not JSON, or is nested too deeply; `bad_request`: the"
            " request is malformed.",
            403: f"{CSRF[403]} `access_blocked`: an operator has blocked you from this feature;"
            " `detail` says until when.",
            404: "`not_found`: there is no such feature, or you may not use it.",
            409: "`idempotency_conflict`: the key was used for another request.",
            413: "`input_too_large`: the input exceeds the feature's `max_input_bytes`.",
            415: "`unsupported_media_type`: the body is not declared as JSON.",
            422: "`invalid_input`: the input does not match its schema; `errors` lists the fields."
            " `input_refused`: a guard refuses it, for example for personal data.",
            429: "`rate_limited`: too many requests; `budget_exhausted`: your budget of the day is"
            " used up. Wait `Retry-After` seconds.",
            503: "`feature_paused`, `budget_reached`, `no_worker`, `overloaded`, `guard_away` or"
            " `database_unavailable`: try again after `Retry-After`. `interrupted`: this server"
            " restarted, and the job may exist: send the request again with the same"
            " `Idempotency-Key`.",
        },
        headers={
            202: {**LOCATION, **REPLAYED, **RATE},
            **dict.fromkeys((409, 413, 415, 422, 429, 503), RATE),
        },
        links={202: OF_A_JOB},
        body=SubmissionBody,
    ),
)
def submit_job(
    request: HttpRequest,
    response: HttpResponse,
    slug: str,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=200,
            pattern=r"^[\x20-\x7e]+$",
            description="A repeated request with the same key and body returns the same job.",
        ),
    ] = None,
) -> JobOut | HttpResponse:
    """Submit a job. With a 202 response the job is stored, and it is certain to end."""
    user = user_of(request)
    scope.check_feature(request, slug)
    try:
        accepted = jobs.submit(user=user, slug=slug, data=read_input(request), key=idempotency_key)
    except Exception as error:  # noqa: BLE001 (every error response has the rate headers)
        return rate.refused(request, slug, error)
    rate.set_headers(response, accepted.left or rate.left_after(request, slug, None))
    response["Location"] = job_path(accepted.job)
    if accepted.replayed:
        response["Idempotency-Replayed"] = "true"
    return job_out(accepted.job)


@router.get(
    "/jobs",
    response=JobPage,
    operation_id="list_jobs",
    summary="Your jobs, newest first",
    openapi_extra=documented(_BAD_PARAMETER),
)
def list_jobs(
    request: HttpRequest,
    limit: Annotated[int, Query(ge=1, le=100, description="Most jobs per page.")] = 20,
    cursor: Annotated[
        str | None, Query(max_length=100, description="From `next` of the previous page.")
    ] = None,
    feature: Annotated[
        str | None, Query(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="Only this feature.")
    ] = None,
) -> JobPage:
    """List one page of your jobs. Follow `next` until it is null."""
    after = cursors.decode(cursor) if cursor is not None else None
    page = jobs.page(
        user=user_of(request),
        limit=limit,
        after=after,
        slug=feature,
        only=scope.features_of(request),
    )
    following = None
    if page.next_after is not None:
        query: dict[str, str | int] = {"limit": limit, "cursor": cursors.encode(page.next_after)}
        if feature is not None:
            query["feature"] = feature
        following = f"{reverse(f'{NAMESPACE}:list_jobs')}?{urlencode(query)}"
    return JobPage(items=[job_out(job) for job in page.jobs], next=following)


@router.get(
    "/jobs/{job_id}",
    response=JobOut,
    operation_id="get_job",
    summary="A job, immediately or when it is done",
    openapi_extra=documented(NO_JOB, _BAD_PARAMETER, links={200: OF_A_JOB}),
)
async def get_job(
    request: HttpRequest,
    job_id: str,
    wait: Annotated[
        float,
        Query(
            ge=0,
            le=MAX_WAIT_S,
            allow_inf_nan=False,
            description="Seconds to wait for the job to leave `queued` and `running`.",
        ),
    ] = 0,
    seen: Annotated[
        Status | None,
        Query(description="The status you have: `wait` also ends as soon as it differs."),
    ] = None,
) -> JobOut:
    """Get the job in its current state, or with `wait` as soon as there is news.

    With `wait`, the response is sent when the job has ended or needs approval, when its status
    differs from `seen`, or after that many seconds.
    """

    def done(status: Status) -> bool:
        return status not in UNDER_WAY or (seen is not None and status != seen)

    job = await read_job(request, job_id)
    if wait and not done(Status(job.status)):
        fair_threads.let_go()
        await waiting.watch().until(job.id, done, timeout_s=wait)
        job = await read_again(request, job_id)
    return job_out(job)


@router.post(
    "/jobs/{job_id}/cancel",
    response=JobOut,
    operation_id="cancel_job",
    summary="Cancel a job",
    openapi_extra=documented(CSRF, NO_JOB, links={200: OF_A_JOB}),
)
def cancel_job(request: HttpRequest, job_id: str) -> JobOut:
    """Cancel the job: soon if it is running, else immediately.

    The worker of a running job must stop first, so the response may still have the status
    `running`. A job that has ended does not change.
    """
    job = visible(request, job_id)
    return job_out(jobs.cancel(user=user_of(request), job_id=job.id))


def _job_id(text: str) -> UUID:
    """Return the id. A malformed id gets the same response as a job of another user."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(NO_SUCH_JOB) from None


def visible(request: HttpRequest, job_id: str) -> Job:
    """Return the user's job. Raises NotFound if there is none for the request's token."""
    job = jobs.get(user=user_of(request), job_id=_job_id(job_id))
    if not scope.covers(request, job.feature):
        raise NotFound(NO_SUCH_JOB)
    return job


@sync_to_async
def read_job(request: HttpRequest, job_id: str) -> Job:
    """Return the user's job, read in a thread. Raises NotFound if there is none for the token."""
    return visible(request, job_id)


@sync_to_async
def read_again(request: HttpRequest, job_id: str) -> Job:
    """Return the same for a request that has waited.

    Raises:
        AuthenticationError: its session, token or account is no longer valid.
        NotFound: this user has no such job.
    """
    if not access.holds_now(request):
        raise AuthenticationError
    return visible(request, job_id)
