"""Jobs with their calls, at minutes of one hour of the last day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Final

from django.contrib.auth.models import User

from aifeature.models import Attempt, Feedback, Job, Status
from aifeature.models.numbers import HOUR_S
from aifeature.services.numbers.windows import floor
from tests.integration.job_rows import CALL

HOUR: Final = floor(datetime.now(UTC), HOUR_S) - timedelta(hours=12)
FIRST, SECOND = "claude-haiku-5-5", "claude-sonnet-5"


def at(minute: float, second: float = 0) -> datetime:
    return HOUR + timedelta(minutes=minute, seconds=second)


def plant_job(user: User, minute: float, took_s: float = 3, **values: Any) -> Job:
    """Store a job that was submitted at a minute, with its calls. The last one is its answer."""
    begun = values.pop("begun", at(minute))
    [job] = plant_jobs([made_job(user, begun, took_s, **values)])
    return job


def plant_jobs(made: Iterable[tuple[Job, list[Attempt]]]) -> list[Job]:
    jobs, calls = zip(*made, strict=True)
    Job.objects.bulk_create(jobs)
    Attempt.objects.bulk_create(chain.from_iterable(calls))
    return list(jobs)


def made_job(
    user: User,
    begun: datetime,
    took_s: float = 3,
    *,
    status: Status = Status.SUCCEEDED,
    calls: Sequence[dict[str, Any]] = ({},),
    waited_s: float = 1,
    **values: Any,
) -> tuple[Job, list[Attempt]]:
    """Return a job and its calls, not stored yet."""
    models = [call.get("model", FIRST) for call in calls]
    has_answer = status in {Status.SUCCEEDED, Status.REJECTED} and not values.get("degraded")
    fields: dict[str, Any] = {
        "user": user,
        "feature": "summarize",
        "status": status,
        "created_at": begun,
        "started_at": begun + timedelta(seconds=waited_s),
        "finished_at": begun + timedelta(seconds=took_s),
        "deadline_at": begun + timedelta(seconds=3000),
        "model": models[-1] if has_answer else "",
        "prompt_version": "v3" if has_answer else "",
    }
    job = Job(**{**fields, **values})
    usual: dict[str, Any] = {
        **CALL,
        "job": job,
        "user": user,
        "feature": job.feature,
        "bound_micro": 900,
        "cost_micro": 100,
        "input_tokens": 10,
        "day": begun.date(),
        "started_at": begun + timedelta(seconds=waited_s),
        "ended_at": begun + timedelta(seconds=took_s),
    }
    return job, [
        Attempt(**{**usual, "number": number, "purpose": _purpose(model), **call})
        for number, (model, call) in enumerate(zip(models, calls, strict=True), 1)
    ]


def _purpose(model: str) -> str:
    return "generation" if model == FIRST else "escalation"


def vote(job: Job, first_rating: int, *, rating: int | None = None) -> None:
    votes([job], first_rating, rating=rating)


def votes(jobs: Iterable[Job], first_rating: int, *, rating: int | None = None) -> None:
    """Store a vote on each job at the moment at which it ended."""
    Feedback.objects.bulk_create(
        Feedback(
            job=job,
            user=job.user,
            feature=job.feature,
            rating=rating or first_rating,
            first_rating=first_rating,
            prompt_version=job.prompt_version,
            model=job.model,
            created_at=job.finished_at,
            changed_at=job.finished_at,
        )
        for job in jobs
        if job.finished_at
    )
