"""Jobs and calls in a given state, for any test on the real stores."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now

from aifeature.models import Attempt, AttemptState, Job, Launch, Ramp, transitions
from aifeature.models.transitions import Caps, Claimed, NewAttempt
from aifeature.spec import Purpose
from tests.integration.models.guarded_rows import SECRET

NO_CAPS = Caps()

CALL: Final[dict[str, Any]] = {
    "epoch": 1,
    "number": 1,
    "purpose": "generation",
    "state": AttemptState.SETTLED,
    "provider": "sandbox",
    "model": "claude-haiku-5-5",
    "prompt_version": "v3",
    "prompt_hash": "0" * 64,
}
"""Columns of a provider call that a test may replace."""


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
            **CALL,
            "job": job,
            "user": job.user,
            "feature": job.feature,
            "state": state,
            "model": "m",
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


def make_launch(**values: Any) -> Launch:
    """Announce a launch of the next hour."""
    end = Now() + timedelta(hours=1)
    defaults = {
        "feature": "summarize",
        "starts_at": Now(),
        "ends_at": end,
        "factor": 3,
        "note": "n",
    }
    return Launch.objects.create(**{**defaults, **values})


def make_ramp(**values: Any) -> Ramp:
    """Plan a ramp of `summarize`, which no check has seen yet."""
    defaults = {
        "feature": "summarize",
        "steps": [5, 100],
        "hours_per_step": 24,
        "started_from": 0,
        "started_stage": "beta",
        "reason": "r",
    }
    return Ramp.objects.create(**{**defaults, **values})


def database_time() -> datetime:
    """Return the time of the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        moment: datetime = cursor.fetchone()[0]
        return moment
