"""Ended jobs of any age, inserted in their final state, since an ended job never changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from aifeature.models import Attempt, Job, SpendWindow, Status
from tests.integration.job_rows import CALL

SECRET = "a secret that Ada told us"
RESULT = {"summary": f"About {SECRET}.", "key_facts": []}


class EndedJob(Protocol):
    def __call__(self, *, days_ago: float, **fields: Any) -> Job: ...


@pytest.fixture
def ended(ada: User) -> EndedJob:
    """A job of ada that ended `days_ago`, with one call that holds content."""

    def make(*, days_ago: float, **fields: Any) -> Job:
        at = timezone.now() - timedelta(days=days_ago)
        values: dict[str, Any] = {
            "user": ada,
            "feature": "summarize",
            "status": Status.SUCCEEDED,
            "input": {"document": SECRET},
            "result": RESULT,
            "approval_reason": f"About {SECRET}.",
            "model": "claude-haiku-5-5",
            "prompt_version": "v3",
            "input_tokens": 11,
            "output_tokens": 7,
            "charge_micro": 42,
            "created_at": at - timedelta(seconds=4),
            "finished_at": at,
            "deadline_at": at + timedelta(seconds=300),
            **fields,
        }
        job = Job.objects.create(**values)
        call(job)
        job.refresh_from_db()
        return job

    return make


def call(job: Job, **fields: Any) -> Attempt:
    """A settled provider call of this job, with content, and its spend in the windows."""
    at = job.finished_at or datetime.now(UTC)
    values: dict[str, Any] = {
        **CALL,
        "job": job,
        "user": job.user,
        "feature": job.feature,
        "number": job.ledger.count() + 1,
        "prompt_hash": "ab" * 32,
        "request": {"system": "", "messages": [{"role": "user", "content": SECRET}]},
        "output": f'{{"summary": "{SECRET}"}}',
        "error_detail": SECRET,
        "input_tokens": 11,
        "output_tokens": 7,
        "cost_micro": 42,
        "bound_micro": 900,
        "day": at.date(),
        "started_at": at - timedelta(seconds=3),
        "ended_at": at,
        **fields,
    }
    row = Attempt.objects.create(**values)
    spend(row)
    return row


def spend(row: Attempt) -> None:
    """Count the call in its three windows."""
    for scope, key in (
        ("user", f"{row.feature}:{row.user_id}"),
        ("feature", row.feature),
        ("global", ""),
    ):
        window, _ = SpendWindow.objects.get_or_create(scope=scope, key=key, day=row.day)
        window.spent_micro += row.cost_micro if scope == "user" else row.spend_micro
        window.save()
