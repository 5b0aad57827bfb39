"""Spend of trailing days by the hour, and calls of today."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
from django.contrib.auth.models import User

from aifeature.models import Attempt, AttemptState, SpendHour
from aifeature.services.monitoring.spikes.baseline import midnight
from tests.integration.job_rows import CALL

NOON = datetime(2020, 11, 18, 12, tzinfo=UTC)
"""The moment of most checks: a Wednesday, long before the present time of the database."""

DOLLAR = 1_000_000


class Usual(Protocol):
    def __call__(self, scope: str, key: str, hourly: int, *, days: int = ...) -> None: ...


@pytest.fixture
def usual(db: None) -> Usual:
    """Store `hourly` micro-dollars, in ten calls, for each hour of the trailing days."""

    def make(scope: str, key: str, hourly: int, *, days: int = 7) -> None:
        today = midnight(NOON)
        hours = (today - timedelta(hours=back) for back in range(1, 24 * days + 1))
        SpendHour.objects.bulk_create(
            SpendHour(scope=scope, key=key, hour=hour, spend_micro=hourly, calls=10)
            for hour in hours
        )

    return make


def call(
    cost: int,
    *,
    at: datetime = NOON - timedelta(hours=1),
    user: User | None = None,
    feature: str = "summarize",
    state: AttemptState = AttemptState.SETTLED,
    bound: int | None = None,
    own: bool = False,
) -> Attempt:
    """Store a call. An open or unknown call counts its bound."""
    return Attempt.objects.create(
        **{**CALL, "state": state},
        user=user,
        feature=feature,
        cost_micro=cost,
        bound_micro=cost if bound is None else bound,
        own_spend=own,
        day=at.date(),
        started_at=at,
        ended_at=None if state == AttemptState.STARTED else at,
    )
