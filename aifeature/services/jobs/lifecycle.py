"""Submit, read, list and cancel jobs. Every query is filtered by the owner."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.crypto import salted_hmac
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from aifeature import registry
from aifeature.models import Job, Status, submission, transitions
from aifeature.models.lookup import Lookup, Parameter
from aifeature.models.submission import Outcome
from aifeature.policies.rates import RateLimitStatus
from aifeature.services import controls, dispatch, texts
from aifeature.services.controls import rates
from aifeature.services.jobs import admission
from aifeature.services.jobs.refusals import (
    FeaturePaused,
    IdempotencyConflict,
    InputTooLarge,
    InvalidInput,
    NotFound,
)
from aifeature.services.payloads import input_text, input_values, json_values
from aifeature.services.streams import shown
from aifeature.spec import Feature

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_OWN: Final = Lookup(lambda: Job.objects.filter(id=Parameter("id"), user_id=Parameter("user_id")))

PAUSED: Final = "This feature is paused at the moment."
_DOES_NOT_FIT: Final = "The input does not fit this feature."
STOPPED: Final = "Its feature is stopped by a kill switch. Release that first."


@dataclass(frozen=True, slots=True)
class Submission:
    """An accepted job."""

    job: Job
    replayed: bool
    """It had been accepted before under the same key."""
    left: RateLimitStatus | None = None
    """What is left of the user's requests; None: nothing was taken, or nothing limits them."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a user's jobs, newest first, and where the next page starts."""

    jobs: list[Job]
    next_after: tuple[datetime, UUID] | None


class CannotRequeueError(Exception):
    """A job that is not run again. Its text is a sentence for the operator."""


def submit(*, user: User, slug: str, data: Any, key: str | None = None) -> Submission:
    """Accept a job: when this returns, its row is committed.

    Args:
        user: Who pays.
        slug: The feature.
        data: The input as parsed JSON.
        key: Idempotency key, or None.

    Raises:
        NotFound: no such feature for this user.
        IdempotencyConflict: the key was used with another input.
        FeaturePaused: the kill switch is on.
        InputTooLarge, InvalidInput: what is wrong with the input.
        RateLimited, BudgetExhausted, BudgetReached, NoWorker, Overloaded: see `admission`.
        django.db.Error: the database is away, or a lock is in the way; no request was taken.
    """
    if odd := json_values.problem(data):
        raise _refused(visible_feature(user=user, slug=slug), odd)
    canonical = _canonical(data)
    digest = _digest(slug, canonical)
    if key and (earlier := _replay(user, key, slug, canonical)):
        return Submission(earlier, replayed=True)
    feature = visible_feature(user=user, slug=slug)
    if controls.is_paused(slug, user.pk):
        raise FeaturePaused(PAUSED, retry_after_s=60)
    _check_size(feature, canonical)
    value = _validated(feature, data)
    left = admission.admit(feature, user.pk)
    job = Job(user=user, feature=slug, input=value, idempotency_key=key, request_digest=digest)
    try:
        outcome = _store(job, feature)
    except DatabaseError:  # away, or something is locked: the client is asked to try again
        admission.give_back(feature, user.pk)
        raise
    if outcome == Outcome.STORED:
        return Submission(job, replayed=False, left=left)
    admission.give_back(feature, user.pk)
    if outcome == Outcome.PAUSED:  # other processes learn of a switch a little later
        raise FeaturePaused(PAUSED, retry_after_s=60)
    if key and outcome == Outcome.EXISTS and (earlier := _replay(user, key, slug, canonical)):
        return Submission(earlier, replayed=True)  # it was being submitted at this very moment
    raise NotFound("There is no such feature.")  # the account was closed meanwhile


def get(*, user: User, job_id: UUID) -> Job:
    """A job of this user.

    Raises:
        NotFound: there is none; also when it is somebody else's.
    """
    job = _OWN.find(id=job_id, user_id=user.pk)
    if job is None:
        raise NotFound("You have no request with this id.")
    return job


def page(
    *,
    user: User,
    limit: int,
    after: tuple[datetime, UUID] | None = None,
    slug: str | None = None,
    only: Collection[str] | None = None,
) -> Page:
    """Up to `limit` jobs of this user that follow `after` (creation time and id), newest first.

    `slug` picks those of one feature; `only` leaves out those of all features but these.
    """
    rows = _own(user).order_by("-created_at", "-id").defer("input")
    if slug is not None:
        rows = rows.filter(feature=slug)
    if only is not None:
        rows = rows.filter(feature__in=only)
    if after is not None:
        moment, last = after
        rows = rows.filter(created_at__lte=moment).exclude(created_at=moment, id__gte=last)
    found = list(rows[: limit + 1])
    more = len(found) > limit
    found = found[:limit]
    return Page(found, (found[-1].created_at, found[-1].id) if more else None)


def cancel(*, user: User, job_id: UUID) -> Job:
    """Cancel a job: at once while it waits; while it runs, its worker is asked to stop.

    A job that has ended stays as it is. The text that its user had been shown is kept.

    Raises:
        NotFound: this user has no such job.
    """
    job = get(user=user, job_id=job_id)
    text = shown.latest(job.id, job.epoch) if job.status == Status.QUEUED else ""
    message = texts.CANCELLED_BY_USER
    transitions.cancel(job_id, user_id=user.pk, message=message, shown=text)
    return get(user=user, job_id=job_id)


def requeue(*, job_id: UUID) -> Job:
    """Run the input of a failed job again, as a new job of the same user. For operators.

    The failed job stays as it is, and the new one names it. Each is requeued once: if the new one
    fails as well, that one is requeued.

    Raises:
        NotFound: there is no such job.
        CannotRequeueError: its text says why.
    """
    failed = Job.objects.select_related("user").filter(pk=job_id).first()
    if failed is None:
        raise NotFound("There is no job with this id.")
    feature = _requeuable(failed)
    try:
        value = _validated(feature, failed.input)
    except InvalidInput:
        raise CannotRequeueError("Its input no longer fits the feature.") from None
    job = Job(user=failed.user, feature=failed.feature, input=value, requeued_from=failed)
    outcome = _store(job, feature)
    if outcome == Outcome.CLOSED:
        raise CannotRequeueError("The account of its user is closed.")
    if outcome == Outcome.EXISTS:
        earlier = Job.objects.get(requeued_from=failed)
        raise CannotRequeueError(f"It was requeued before, as job {earlier.pk}.")
    if outcome == Outcome.PAUSED:
        raise CannotRequeueError(STOPPED)
    return job


def visible_feature(*, user: User, slug: str) -> Feature:
    """The feature, if it exists for this user.

    Raises:
        NotFound: it does not.
    """
    try:
        feature = registry.get(slug)
    except registry.UnknownFeatureError:
        feature = None
    if feature is None or not controls.is_visible(feature, user):
        raise NotFound("There is no such feature.")
    return feature


def visible_features(*, user: User) -> list[Feature]:
    """Every feature that exists for this user."""
    return [f for f in registry.all_features().values() if controls.is_visible(f, user)]


def _requeuable(job: Job) -> Feature:
    """The feature of a job that may be run again."""
    if job.status != Status.FAILED:
        raise CannotRequeueError(f"Only a job that failed is requeued; this one is {job.status}.")
    if job.input is None:
        raise CannotRequeueError("Its content was blanked, so there is nothing to run.")
    feature = registry.all_features().get(job.feature)
    if feature is None:
        raise CannotRequeueError(f"The feature {job.feature} is no longer in the code.")
    if controls.is_paused(job.feature, job.user_id):
        raise CannotRequeueError(STOPPED)
    if not controls.is_visible(feature, job.user):
        raise CannotRequeueError("Its user may not use this feature at its present stage.")
    return feature


def _store(job: Job, feature: Feature) -> Outcome:
    """Store a new job and, once that is committed, send it if there is room for it now."""
    outcome = submission.store(
        job,
        deadline_s=controls.deadline_s(feature),
        publish=dispatch.can_publish(),
        max_concurrency=rates.of(feature, job.user_id).in_flight,
    )
    if job.published_at is None:
        return outcome
    if connection.in_atomic_block:
        transaction.on_commit(lambda: dispatch.publish([job.id]))
    else:  # it is committed; to register that would take a connection, which may fail
        dispatch.publish([job.id])
    return outcome


def _own(user: User) -> QuerySet[Job]:
    return Job.objects.filter(user_id=user.pk)


def _canonical(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(slug: str, canonical: bytes, *, secret: str | None = None) -> str:
    """HMAC, so that the column tells nothing of the input to who can guess at it."""
    body = slug.encode() + b"\0" + canonical
    return salted_hmac("aifeature.idempotency", body, secret=secret).hexdigest()


def _replay(user: User, key: str, slug: str, canonical: bytes) -> Job | None:
    """The job of an earlier request with this key; also one that an earlier SECRET_KEY signed."""
    job = _own(user).filter(idempotency_key=key).first()
    if job is not None and not any(
        job.request_digest == _digest(slug, canonical, secret=secret)
        for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    ):
        raise IdempotencyConflict("This Idempotency-Key was used for another request.")
    return job


def _check_size(feature: Feature, canonical: bytes) -> None:
    limit = feature.limits.max_input_bytes
    if len(canonical) > limit:
        raise InputTooLarge(f"The input has {len(canonical):,} bytes; the limit is {limit:,}.")


def _validated(feature: Feature, data: Any) -> dict[str, Any]:
    model = feature.input_model
    try:
        value = input_values.dumped(input_values.read(model, data))
    except ValidationError as error:
        problems = [
            {"field": input_text.known_path(model, problem["loc"]), "message": _message(problem)}
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidInput(_DOES_NOT_FIT, errors=problems) from None
    if odd := json_values.lost_digits(data, value):
        raise _refused(feature, odd)
    if empty := input_text.without_text(model, value):
        problems = [{"field": name, "message": input_text.NOTHING_TO_READ} for name in empty]
        raise InvalidInput(_DOES_NOT_FIT, errors=problems)
    return value


def _refused(feature: Feature, odd: json_values.Problem) -> InvalidInput:
    field = input_text.known_path(feature.input_model, odd.path)
    return InvalidInput(_DOES_NOT_FIT, errors=[{"field": field, "message": odd.message}])


def _message(problem: ErrorDetails) -> str:
    """What is wrong, without what was sent: pydantic quotes the tag of a union."""
    if problem["type"] == "union_tag_invalid":
        return f"Input tag should be one of {problem['ctx']['expected_tags']}"
    return problem["msg"]
