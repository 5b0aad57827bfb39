"""Visitors of admin, and the rows that they see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from aifeature.models import Attempt, Job, Status
from tests.integration.job_rows import CALL

Staff = Callable[..., Client]
MakeJob = Callable[..., Job]
MakeAttempt = Callable[..., Attempt]

PROMPT = "<script>alert('a secret in the prompt')</script>"


@pytest.fixture
def boss(db: None) -> User:
    return User.objects.create_superuser("boss")


@pytest.fixture
def customer(db: None) -> User:
    return User.objects.create_user("customer")


@pytest.fixture
def page(boss: User) -> Client:
    """A browser in which the superuser is logged in."""
    client = Client()
    client.force_login(boss)
    return client


@pytest.fixture
def staff(db: None) -> Staff:
    """Log in a member of staff with these permissions only (`view_job`, ...)."""

    def log_in(*permissions: str) -> Client:
        user = User.objects.create_user(f"staff{uuid4().hex[:6]}", is_staff=True)
        found = Permission.objects.filter(codename__in=permissions)
        assert found.count() == len(permissions)
        user.user_permissions.set(found)
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def make_job(customer: User) -> MakeJob:
    def make(**values: Any) -> Job:
        defaults: dict[str, Any] = {
            "user": customer,
            "feature": "summarize",
            "input": {"document": PROMPT},
            "deadline_at": datetime.now(UTC) + timedelta(minutes=5),
        }
        if values.get("status", Status.QUEUED) in {Status.SUCCEEDED, Status.FAILED}:
            defaults["finished_at"] = datetime.now(UTC)
        return Job.objects.create(**{**defaults, **values})

    return make


@pytest.fixture
def make_attempt() -> MakeAttempt:
    def make(job: Job, **values: Any) -> Attempt:
        defaults: dict[str, Any] = {
            **CALL,
            "job": job,
            "user": job.user,
            "feature": job.feature,
            "request": {"system": PROMPT},
            "output": PROMPT,
            "cost_micro": 1_250,
            "bound_micro": 99_000,
            "day": datetime.now(UTC).date(),
            "ended_at": datetime.now(UTC),
        }
        return Attempt.objects.create(**{**defaults, **values})

    return make
