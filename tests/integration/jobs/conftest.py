from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from aifeature.models import Job, transitions
from aifeature.models.transitions import Caps, Claimed, NewAttempt
from aifeature.spec import Purpose

NO_CAPS = Caps()


class MakeJob(Protocol):
    def __call__(self, **fields: Any) -> Job: ...


@pytest.fixture
def make_job(ada: User) -> MakeJob:
    """A queued job of ada, due now; fields may be given."""

    def make(**fields: Any) -> Job:
        values: dict[str, Any] = {
            "user": ada,
            "feature": "summarize",
            "input": {"document": "Text."},
            "deadline_at": Now() + timedelta(seconds=300),
            **fields,
        }
        job = Job.objects.create(**values)
        job.refresh_from_db()
        return job

    return make


@pytest.fixture
def claimed(make_job: MakeJob) -> Claimed:
    return claim(make_job())


def claim(job: Job, worker: str = "w1", lease_s: float = 15) -> Claimed:
    taken = transitions.claim(job.id, worker=worker, lease_s=lease_s)
    assert taken is not None
    return taken


def begin(claimed: Claimed, *, bound: int = 1000, caps: Caps = NO_CAPS) -> uuid.UUID:
    """Enter a call of this bound into the ledger and return its id."""
    attempt = NewAttempt(
        id=uuid.uuid4(),
        purpose=Purpose.GENERATION,
        provider="sandbox",
        model="claude-haiku-5-5",
        prompt_version="v3",
        prompt_hash="0" * 64,
        request={"system": "", "messages": []},
        bound_micro=bound,
    )
    transitions.begin_attempt(claimed, attempt, caps)
    return attempt.id


def age(job: Job, **past: timedelta) -> None:
    """Put timestamps of a job into the past, instead of sleeping."""
    Job.objects.filter(pk=job.pk).update(**{name: Now() - span for name, span in past.items()})


AgeJob = Callable[..., None]
