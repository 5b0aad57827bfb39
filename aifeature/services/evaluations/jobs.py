"""Jobs of evaluations: the feature as users get it, for an account of the system.

They take the path of users' jobs through workers, checks and ledger. Stage, rates and the budgets
of users and features do not apply; a kill switch, the budget of evaluations and the global caps do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from django.contrib.auth import get_user_model
from django.db.models import Case, Count, Q, Sum, When

from aifeature import prompts, registry
from aifeature.models import (
    EVALUATIONS_ACCOUNT,
    TERMINAL,
    Attempt,
    AttemptState,
    Job,
    Status,
    submission,
)
from aifeature.models.job import Origin
from aifeature.services.jobs import guarding, validated
from aifeature.services.jobs.refusals import NotFound
from aifeature.spec import Purpose

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_SPEND: Final = Case(
    When(Q(state__in=[AttemptState.STARTED, AttemptState.UNKNOWN]), then="bound_micro"),
    default="cost_micro",
)
"""The spend of a call; one under way, or of unknown outcome, counts at its bound."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a job, with all its calls."""

    job: UUID
    status: str
    result: Mapping[str, Any] | None
    error_code: str
    model: str
    first_model: str
    """The model that gave the first whole answer, valid or not; empty if none did."""
    prompt_hash: str
    cost_micro: int
    """Spend of all its calls, in micro-dollars; unknown calls count at their bound."""
    latency_ms: int
    """From its first claim to its end, without the time in the queue."""
    was_repaired: bool
    """Whether the first whole answer was invalid, so that a further call was made: to the same
    model with the error, or to the next model. An answer that could not be checked counts too."""
    attempts: tuple[UUID, ...]
    """Its calls in order, the ids of the ledger."""

    @property
    def has_answer(self) -> bool:
        """Whether it ended with an answer."""
        return self.status == Status.SUCCEEDED and self.result is not None


def account() -> User:
    """Return the account of evaluations. Creates it, without a password, if there is none."""
    users = get_user_model()
    names: dict[str, Any] = {users.USERNAME_FIELD: EVALUATIONS_ACCOUNT}
    found, is_new = users.objects.get_or_create(**names)
    if is_new:
        found.set_unusable_password()
        found.save(update_fields=["password"])
    return found


def submit(
    *,
    owner: User,
    slug: str,
    data: Mapping[str, Any],
    key: str,
    nonce: str,
    prompt_version: str = "",
    deadline_s: float,
) -> UUID:
    """Store a job that evaluates a feature, and return its id. The dispatcher sends it.

    Args:
        owner: See `account`.
        slug: The feature.
        data: The input, as parsed JSON.
        key: A repetition with this key returns the same job.
        nonce: Distinguishes repeats of the same input.
        prompt_version: Empty: the active version.
        deadline_s: Seconds until the job fails if it has not ended.

    Raises:
        NotFound: there is no such feature, or `owner` is closed.
        PromptError: there is no such version.
        InvalidInput, InputRefused: the input does not fit the feature, or a guard refuses it.
        GuardAway: a guard failed.
    """
    try:
        feature = registry.get(slug)
    except registry.UnknownFeatureError:
        raise NotFound(f"There is no feature {slug}.") from None
    if prompt_version:
        prompts.get(slug, prompt_version)
    checked = guarding.checked(feature, validated(feature, dict(data)), user_id=None)
    job = submission.store_other(
        Job(
            id=uuid4(),
            user=owner,
            feature=slug,
            input=checked.value,
            idempotency_key=key,
            origin=Origin.EVAL,
            options={
                "prompt_version": prompt_version,
                "nonce": nonce,
                **(guarding.options(checked) or {}),
            },
        ),
        deadline_s=deadline_s,
    )
    if job is None:
        raise NotFound(f"The account {EVALUATIONS_ACCOUNT} is closed: activate it in admin.")
    return job


def ended(jobs: Iterable[UUID]) -> list[Ended]:
    """Return those of these jobs that have ended."""
    rows = {
        job.pk: job
        for job in Job.objects.filter(pk__in=list(jobs), status__in=sorted(TERMINAL)).only(
            *("status", "result", "error_code", "model", "started_at", "finished_at")
        )
    }
    calls: dict[UUID, list[Attempt]] = {}
    ledger = Attempt.objects.filter(job__in=rows).order_by("job_id", "number")
    fields = (
        *("job_id", "purpose", "state", "model", "stop_reason", "cost_micro", "bound_micro"),
        "prompt_hash",
    )
    for call in ledger.only(*fields):
        if call.job_id is not None:
            calls.setdefault(call.job_id, []).append(call)
    return [_ended(job, calls.get(pk, [])) for pk, job in rows.items()]


def spent_micro(jobs: Iterable[UUID]) -> int:
    """Return the spend of all calls of these jobs, in micro-dollars, open calls at their bound."""
    found = Attempt.objects.filter(job__in=list(jobs)).aggregate(micro=Sum(_SPEND))["micro"]
    return int(found or 0)


def mean_micro(jobs: Iterable[UUID]) -> float | None:
    """Return the mean spend in micro-dollars of those of these jobs that made a call, if any."""
    found = Attempt.objects.filter(job__in=list(jobs)).aggregate(
        micro=Sum(_SPEND), jobs=Count("job", distinct=True)
    )
    return found["micro"] / found["jobs"] if found["jobs"] else None


def _ended(job: Job, calls: list[Attempt]) -> Ended:
    # A moderation call has a prompt of its own, and gives no answer.
    own = [call for call in calls if call.purpose != Purpose.MODERATION]
    # The provider states the reason with which it stopped at the end of a whole answer.
    first = next((call for call in own if call.stop_reason), None)
    return Ended(
        job=job.pk,
        status=str(job.status),
        result=job.result if job.status == Status.SUCCEEDED else None,
        error_code=job.error_code,
        model=job.model,
        first_model=first.model if first else "",
        prompt_hash=own[-1].prompt_hash if own else "",
        cost_micro=sum(call.spend_micro for call in calls),
        latency_ms=_milliseconds(job.started_at, job.finished_at),
        was_repaired=first is not None and first is not own[-1],
        attempts=tuple(call.pk for call in calls),
    )


def _milliseconds(since: datetime | None, until: datetime | None) -> int:
    return round((until - since).total_seconds() * 1000) if since and until else 0
