"""Submit, read, list, cancel and requeue jobs. A user reaches only their own jobs."""

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

from aifeature import registry
from aifeature.models import Job, Origin, Status, submission, transitions
from aifeature.models.lookup import Lookup, Parameter
from aifeature.models.submission import Outcome
from aifeature.policies.rates import RateLimitStatus
from aifeature.services import access, controls, dispatch, texts
from aifeature.services.controls import rates
from aifeature.services.guards.inputs import Checked
from aifeature.services.jobs import admission, guarding, keys, refused_counts, validation
from aifeature.services.jobs.refusals import (
    AccessBlocked,
    FeaturePaused,
    GuardAway,
    IdempotencyConflict,
    InputRefused,
    InputTooLarge,
    InvalidInput,
    NotFound,
)
from aifeature.services.payloads import json_values
from aifeature.services.streams import shown
from aifeature.spec import Feature

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_OWN: Final = Lookup(lambda: Job.objects.filter(id=Parameter("id"), user_id=Parameter("user_id")))

PAUSED: Final = "This feature is paused at the moment."
STOPPED: Final = "Its feature is stopped by a kill switch. Release that first."


@dataclass(frozen=True, slots=True)
class Submission:
    """An accepted job."""

    job: Job
    replayed: bool
    """Whether an earlier request with the same key created it."""
    left: RateLimitStatus | None = None
    """The rate limit status; None: no request was taken, or there is no limit."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a user's jobs, newest first, and the start of the next page."""

    jobs: list[Job]
    next_after: tuple[datetime, UUID] | None


class CannotRequeueError(Exception):
    """The job cannot be requeued. The text is shown to the operator."""


@refused_counts.counted
def submit(*, user: User, slug: str, data: Any, key: str | None = None) -> Submission:
    """Accept a job. Its row is committed when this returns.

    `data` is the input as parsed JSON. `key` is the idempotency key.

    Raises:
        NotFound: the user has no such feature.
        AccessBlocked: the user is blocked from it, with a message.
        IdempotencyConflict: the key was used with another input.
        FeaturePaused: a kill switch is on.
        InputTooLarge, InvalidInput, InputRefused: the input is too large, invalid or refused.
        GuardAway: a guard failed. Nothing was stored.
        RateLimited, BudgetExhausted, BudgetReached, NoWorker, Overloaded: see `admission`.
        django.db.Error: the database is unavailable or locked. No request was taken.
    """
    if odd := json_values.problem(data):
        raise validation.refused(visible_feature(user=user, slug=slug), odd)
    canonical = _canonical(data)
    digest = _digest(slug, canonical)
    if key and (earlier := _replay(user, key, slug, canonical)):
        return Submission(earlier, replayed=True)
    feature = visible_feature(user=user, slug=slug)
    if controls.is_paused(slug, user.pk):
        raise FeaturePaused(PAUSED, retry_after_s=60)
    _check_size(feature, canonical)
    value = validation.validated(feature, data)
    left = admission.admit(feature, user.pk)
    try:
        checked = guarding.checked(feature, value, user_id=user.pk)
    except InputRefused:
        raise
    except (InvalidInput, GuardAway):  # as before any request was taken
        admission.give_back(feature, user.pk)
        raise
    stored_key = keys.stored(key) if key else key
    job = Job(user=user, feature=slug, idempotency_key=stored_key, request_digest=digest)
    try:
        outcome = _store(job, feature, checked)
    except DatabaseError:  # unavailable or locked: the client may retry
        admission.give_back(feature, user.pk)
        raise
    if outcome == Outcome.STORED:
        guarding.note(feature, user.pk, checked)
        return Submission(job, replayed=False, left=left)
    admission.give_back(feature, user.pk)
    if outcome == Outcome.PAUSED:  # this process has not read the new state of the switch yet
        raise FeaturePaused(PAUSED, retry_after_s=60)
    if key and outcome == Outcome.EXISTS and (earlier := _replay(user, key, slug, canonical)):
        return Submission(earlier, replayed=True)  # submitted at the same time
    raise NotFound("There is no such feature.")  # the account was closed at the same time


def get(*, user: User, job_id: UUID) -> Job:
    """Return a job. Raises NotFound if it does not exist or belongs to another user."""
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
    """Return up to `limit` jobs of this user after `after` (creation time and id), newest first.

    `slug` selects one feature; `only` selects several.
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
    """Cancel a job: immediately while it is queued, through its worker while it is running.

    An ended job does not change. The text that the user has been shown is kept. Raises NotFound if
    the user has no such job.
    """
    job = get(user=user, job_id=job_id)
    text = shown.latest(job.id, job.epoch) if job.status == Status.QUEUED else ""
    message = texts.CANCELLED_BY_USER
    transitions.cancel(job_id, user_id=user.pk, message=message, shown=text)
    return get(user=user, job_id=job_id)


def requeue(*, job_id: UUID) -> Job:
    """Run the input of a failed job again, as a new job of the same user. For operators.

    The new job refers to the failed one, which does not change. A job can be requeued once. If the
    new job fails, requeue that one.

    Raises:
        NotFound: there is no such job.
        CannotRequeueError: the text names the reason.
    """
    failed = Job.objects.select_related("user").filter(pk=job_id).first()
    if failed is None:
        raise NotFound("There is no job with this id.")
    feature = _requeuable(failed)
    try:
        value = validation.validated(feature, failed.input)
        # Without a user: a finding counted when its user sent it.
        checked = guarding.checked(feature, value, user_id=None)
    except (InvalidInput, InputRefused):
        raise CannotRequeueError("Its input no longer fits the feature.") from None
    except GuardAway:
        raise CannotRequeueError("Its input cannot be checked now. Try again later.") from None
    job = Job(user=failed.user, feature=failed.feature, requeued_from=failed)
    outcome = _store(job, feature, checked)
    if outcome == Outcome.CLOSED:
        raise CannotRequeueError("The account of its user is closed.")
    if outcome == Outcome.EXISTS:
        earlier = Job.objects.get(requeued_from=failed)
        raise CannotRequeueError(f"It was requeued before, as job {earlier.pk}.")
    if outcome == Outcome.PAUSED:
        raise CannotRequeueError(STOPPED)
    return job


def visible_feature(*, user: User, slug: str) -> Feature:
    """Return a feature.

    Raises:
        NotFound: it does not exist, or the user may not see it.
        AccessBlocked: an operator blocks the user from it, with a message for the user.
    """
    try:
        feature = registry.get(slug)
    except registry.UnknownFeatureError:
        feature = None
    if feature is not None and access.is_visible(feature, user):
        return feature
    if feature is not None and (block := access.block_of(feature, user)):
        raise AccessBlocked(access.blocks.notice(block))
    raise NotFound("There is no such feature.")


def visible_features(*, user: User) -> list[Feature]:
    """Return all features that this user may see."""
    return access.visible(registry.all_features().values(), user)


def _requeuable(job: Job) -> Feature:
    if job.status != Status.FAILED:
        raise CannotRequeueError(f"Only a job that failed is requeued; this one is {job.status}.")
    if job.origin == Origin.SHADOW:
        raise CannotRequeueError("It belongs to a shadow, which copies other requests instead.")
    if job.origin != Origin.USER:  # the new job would be a user's, and count in figures
        raise CannotRequeueError("It belongs to an evaluation: resume its run instead.")
    if job.input is None:
        raise CannotRequeueError("Its content was blanked, so there is nothing to run.")
    feature = registry.all_features().get(job.feature)
    if feature is None:
        raise CannotRequeueError(f"The feature {job.feature} is no longer in the code.")
    if controls.is_paused(job.feature, job.user_id):
        raise CannotRequeueError(STOPPED)
    if not access.is_visible(feature, job.user):
        raise CannotRequeueError(
            "Its user may not use this feature at its present stage, or is blocked."
        )
    return feature


def _store(job: Job, feature: Feature, checked: Checked) -> Outcome:
    """Store a new job and publish it after commit if there is room in the window.

    A requeued job has no guard events of its own: its user sent the input once. It is in no canary,
    where an operator's choice of jobs would count.
    """
    job.input, options = checked.value, guarding.options(checked) or {}
    if job.requeued_from is None:
        canary = controls.canaries.assigned(feature, job.user)
        options |= {"canary": canary} if canary else {}
    elif not options:  # what tightened it may have been replaced
        options = {**(job.requeued_from.options or {})}
        options.pop("canary", None)
    job.options = options or None
    outcome = submission.store(
        job,
        events=() if job.requeued_from_id else list(guarding.events(feature, checked)),
        deadline_s=controls.deadline_s(feature),
        publish=dispatch.can_publish(),
        max_concurrency=rates.of(feature, job.user_id).in_flight,
    )
    if job.published_at is None:
        return outcome
    if connection.in_atomic_block:
        transaction.on_commit(lambda: dispatch.publish([job.id]))
    else:  # already committed; `on_commit` would take a connection, which may fail
        dispatch.publish([job.id])
    return outcome


def _own(user: User) -> QuerySet[Job]:
    return Job.objects.filter(user_id=user.pk)


def _canonical(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(slug: str, canonical: bytes, *, secret: str | None = None) -> str:
    """Return an HMAC, so that the input cannot be recovered by guessing."""
    body = slug.encode() + b"\0" + canonical
    return salted_hmac("aifeature.idempotency", body, secret=secret).hexdigest()


def _replay(user: User, key: str, slug: str, canonical: bytes) -> Job | None:
    """Return the job of an earlier request with this key, also if an old SECRET_KEY signed it."""
    job = _own(user).filter(idempotency_key__in=keys.possible(key)).first()
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
