"""Jobs and calls in a given state, for any test on the real stores."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now

from aifeature.models import Attempt, AttemptState, Job, transitions
from aifeature.models.transitions import Caps, Claimed, NewAttempt
from aifeature.spec import Purpose
from tests.integration.models.guarded_rows import SECRET

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


class MakeCall(Protocol):
    def __call__(self, state: AttemptState = ..., **fields: Any) -> Attempt: ...


@pytest.fixture
def make_call(make_job: MakeJob) -> MakeCall:
    def make(state: AttemptState = AttemptState.SETTLED, **values: Any) -> Attempt:
        job = make_job()
        defaults: dict[str, Any] = {
            "job": job,
            "user": job.user,
            "feature": job.feature,
            "epoch": 1,
            "number": 1,
            "purpose": "generation",
            "state": state,
            "provider": "sandbox",
            "model": "m",
            "prompt_version": "v3",
            "prompt_hash": "0" * 64,
            "bound_micro": 1000,
            "request": {"system": SECRET},
            "output": SECRET,
            "error_detail": SECRET,
            "day": job.created_at.date(),
            "ended_at": None if state == AttemptState.STARTED else job.created_at,
        }
        call = Attempt.objects.create(**{**defaults, **values})
        call.refresh_from_db()
        return call

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


def database_time() -> datetime:
    """Its clock. Between two looks at it lies what was set to it, however slow the machine is."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        moment: datetime = cursor.fetchone()[0]
        return moment


AgeJob = Callable[..., None]
