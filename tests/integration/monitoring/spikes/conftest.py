"""Spend of trailing days by the hour, and calls of today."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
from django.contrib.auth.models import User

from aifeature.models import Attempt, AttemptState, SpendHour
from aifeature.services.monitoring.spikes.baseline import midnight

NOON = datetime(2020, 11, 18, 12, tzinfo=UTC)
"""The moment of every look, unless it says otherwise. A Wednesday, long before any machine's now:
what the database dates itself comes after it."""

DOLLAR = 1_000_000


class Usual(Protocol):
    def __call__(self, scope: str, key: str, hourly: int, *, days: int = ...) -> None: ...


@pytest.fixture
def usual(db: None) -> Usual:
    """So many micro-dollars, in ten calls, in each hour of the trailing days."""

    def make(scope: str, key: str, hourly: int, *, days: int = 7) -> None:
        today = midnight(NOON)
        SpendHour.objects.bulk_create(
            SpendHour(
                scope=scope,
                key=key,
                hour=today - timedelta(hours=back),
                spend_micro=hourly,
                calls=10,
            )
            for back in range(1, 24 * days + 1)
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
    """A call that began then. Of an open or unknown one the bound is what counts."""
    return Attempt.objects.create(
        job=None,
        user=user,
        feature=feature,
        epoch=1,
        number=1,
        purpose="generation",
        state=state,
        provider="sandbox",
        model="m",
        prompt_version="v3",
        prompt_hash="0" * 64,
        cost_micro=cost,
        bound_micro=cost if bound is None else bound,
        own_spend=own,
        day=at.date(),
        started_at=at,
        ended_at=None if state == AttemptState.STARTED else at,
    )
