"""Sums of planted jobs, computed by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from aifeature.models import (
    AttemptState,
    ControlChange,
    FeatureControl,
    GuardEvent,
    NumberSlot,
    Origin,
    Status,
    SummedTime,
    UserCostDay,
)
from aifeature.models.numbers import HOUR_S, SLOT_S
from aifeature.policies.buckets import bucket
from aifeature.services.numbers import rollup, sources, windows
from aifeature.services.numbers.series import points
from aifeature.services.numbers.windows import By
from tests.integration.numbers.planted import FIRST, HOUR, SECOND, at, plant_job, vote

FAILED = Status.FAILED
BACK = [{}, {"model": SECOND, "state": AttemptState.UNKNOWN, "cost_micro": 0}]
"""The first model gives no answer, and the second one is used."""


@pytest.fixture(autouse=True)
def _no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup, "HISTORY", timedelta())


@pytest.fixture
def _hour(ada: User) -> None:
    """One hour: the stage changes at minute 10, and a switch is on from minute 20 to 25."""
    row = FeatureControl.objects.create(feature="summarize", stage="staff")
    for minute, field, old, new in (
        (10, "stage", "beta", "staff"),
        (20, "killed", "False", "True"),
        (25, "killed", "True", "False"),
    ):
        ControlChange.objects.create(
            feature=row.feature, field=field, old=old, new=new, reason="r", at=at(minute)
        )
    beta = plant_job(
        ada, 5, 3, calls=[{"ttft_ms": 400, "cache_read_tokens": 7, "cache_saved_micro": 5}]
    )
    slow = plant_job(ada, 12, 10.001)
    plant_job(ada, 13, 10.0)
    plant_job(ada, 19.9, 9 + 5 * 60, waited_s=8 + 5 * 60)  # held
    plant_job(
        ada,
        30,
        20 * 60,
        calls=[{"ended_at": at(30, 4)}],
        approval_expires_at=at(90),
        status=Status.REJECTED,
    )
    lost = plant_job(ada, 31, status=FAILED, error_code="provider_unavailable", calls=BACK)
    plant_job(
        ada, 32, status=FAILED, error_code="answer_refused", calls=[{"stop_reason": "refusal"}]
    )
    plant_job(ada, 33, status=FAILED, error_code="budget_spent", calls=[])
    plant_job(ada, 34, status=Status.CANCELLED, cancelled_by="user", calls=[])
    plant_job(ada, 35, calls=BACK)
    plant_job(ada, 36, degraded=True)
    plant_job(ada, 37, origin=Origin.EVAL, options={}, calls=[{"budget": "_evals"}])
    vote(beta, -1, rating=1)
    vote(slow, 1)
    vote(lost, -1)
    for stage in ("answer", "guard"):
        GuardEvent.objects.create(
            at=at(40), user=ada, feature="summarize", job=slow, stage=stage, guard="canary",
            category="canary", action="withheld",
        )  # fmt: skip


def rows(span_s: int = SLOT_S) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key != "id"}
        for row in NumberSlot.objects.filter(span_s=span_s).order_by("pk").values()
    ]


def by_key(span_s: int) -> dict[tuple[Any, ...], dict[str, Any]]:
    keys = ("starts_at", "feature", "prompt_version", "model", "stage")
    return {tuple(row[key] for key in keys): row for row in rows(span_s)}


@pytest.mark.usefixtures("_hour")
def test_sums_are_those_computed_by_hand() -> None:
    assert rollup.roll_up(at(59)) > 0
    found = windows.sums("summarize", HOUR, at(60))[""]
    assert (found.ended, found.failed, found.others) == (9, 1, 2)
    assert (found.slow, found.timed, found.degraded, found.fallbacks) == (1, 7, 1, 1)
    assert (found.calls, found.refusals, found.input_tokens) == (11, 1, 110)
    assert (found.spend_micro, found.cache_read_tokens, found.cache_saved_micro) == (2700, 7, 5)
    assert (found.votes, found.votes_down, found.guard_hits) == (2, 1, 1)
    latencies = {bucket(1000 * s): 0 for s in (3, 10.001, 10, 9, 4)}
    for seconds in (3, 10.001, 10, 9, 4, 3, 3):
        latencies[bucket(1000 * seconds)] += 1
    assert {at: count for at, count in enumerate(found.latency) if count} == latencies
    assert found.wait[bucket(8000)] == 1  # the held one
    assert sum(found.wait) == found.wait[bucket(1000)] + 1 == 11
    assert list(found.ttft) == [0] * bucket(400) + [1]


@pytest.mark.usefixtures("_hour")
def test_sums_are_divided_by_model_and_by_the_stage_at_the_submission() -> None:
    rollup.roll_up(at(59))
    stages = windows.sums("summarize", HOUR, at(60), by=By.STAGE)
    assert {stage: each.ended for stage, each in stages.items()} == {"beta": 1, "staff": 8}
    models = windows.sums(None, HOUR, at(60), by=By.MODEL)
    assert (models[SECOND].ended, models[SECOND].failed) == (2, 1)  # no answer names its model
    assert (models[FIRST].ended, models[""].others) == (7, 2)
    assert list(windows.sums(None, HOUR, at(60), by=By.VERSION)) == ["", "v3"]
    assert windows.sums("another", HOUR, at(60))[""].ended == 0


@pytest.mark.usefixtures("_hour")
def test_a_tick_that_was_killed_or_runs_twice_counts_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sources, "sum_hours", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rollup.roll_up(at(59))
    rollup.roll_up(at(40))
    rollup.roll_up(at(59))
    once = rows()
    assert sum(row["ended"] for row in once) == 9
    assert rollup.roll_up(at(59)) == 0
    assert rows() == once
    [hour] = {row["starts_at"] for row in rows(HOUR_S)}
    assert hour == HOUR
    assert windows.sums(None, HOUR - timedelta(days=3), at(60)) == windows.sums(None, HOUR, at(60))


@pytest.mark.usefixtures("_hour")
def test_a_row_whose_key_changed_is_replaced() -> None:
    """A finding may be about a job without a model yet. Here the history of the stage changes."""
    rollup.roll_up(at(59))
    before = by_key(SLOT_S)
    ControlChange.objects.create(
        feature="summarize", field="stage", old="percent", new="beta", reason="r", at=at(7)
    )
    rollup.roll_up(at(59))
    assert sum(row["ended"] for row in rows()) == sum(row["ended"] for row in before.values())
    assert {row["stage"] for row in rows(HOUR_S)} == {"percent", "staff"}


def test_a_stage_of_a_newer_release_is_summed_up(ada: User) -> None:
    ControlChange.objects.create(
        feature="summarize", field="stage", old="off", new="invited people", at=at(-9), reason="r"
    )
    plant_job(ada, 5)
    rollup.roll_up(at(10))
    assert NumberSlot.objects.get(span_s=300).stage == "invited "


def test_missed_hours_are_made_up_in_steps(monkeypatch: pytest.MonkeyPatch, ada: User) -> None:
    """The control worker is away for five hours. A tick makes up two hours."""
    monkeypatch.setattr(rollup, "CHUNK", timedelta(hours=1))
    monkeypatch.setattr(rollup, "CHUNKS", 2)
    monkeypatch.setattr(rollup, "HISTORY", timedelta(hours=9))
    for hour in range(-3, 6):
        plant_job(ada, 60 * hour + 40)
    rollup.roll_up(at(30))
    assert hours() == {-2, -1}
    rollup.roll_up(at(5 * 60 + 45))
    assert hours() == {-2, -1, 0, 1, 5}
    rollup.roll_up(at(5 * 60 + 46))
    assert hours() == {-2, -1, 0, 1, 2, 3, 5}
    rollup.roll_up(at(5 * 60 + 47))
    rollup.roll_up(at(5 * 60 + 48))
    assert hours() == set(range(-3, 6))
    assert SummedTime.objects.get().ends == at(5 * 60)
    assert {row["ended"] for row in rows(HOUR_S)} == {1}


def hours() -> set[int]:
    return {(row["starts_at"] - HOUR) // timedelta(hours=1) for row in rows(HOUR_S)}


def test_a_clock_that_jumps_counts_nothing_twice(ada: User) -> None:
    plant_job(ada, 10)
    plant_job(ada, 300)  # from the future
    rollup.roll_up(at(20))
    assert windows.sums(None, HOUR, at(60))[""].ended == 1
    rollup.roll_up(at(600))
    rollup.roll_up(at(20))
    plant_job(ada, 15)
    rollup.roll_up(at(21))
    assert windows.sums(None, HOUR, at(60))[""].ended == 2
    assert windows.sums(None, HOUR, at(600))[""].ended == 3
    assert SummedTime.objects.get().ends == HOUR


def test_days_of_users_are_summed_once_they_are_over(ada: User) -> None:
    midnight = HOUR.replace(hour=0) - timedelta(days=1)
    other = User.objects.create_user("other")
    for user, hour in ((ada, 1), (ada, 22), (other, 23), (ada, 25)):
        plant_job(user, 0, begun=midnight + timedelta(hours=hour))
    day = {"feature": "summarize", "day": midnight.date(), "users": 2, "spend_micro": 300}
    fields = list(day)
    rollup.roll_up(midnight + timedelta(hours=24, minutes=1))
    assert not UserCostDay.objects.exists()
    rollup.roll_up(midnight + timedelta(hours=24, minutes=30))
    assert list(UserCostDay.objects.values(*fields)) == [day]
    UserCostDay.objects.all().delete()
    SummedTime.objects.all().delete()
    rollup.backfill(midnight, midnight + timedelta(hours=26))
    assert list(UserCostDay.objects.values(*fields)) == [day]


def test_a_history_is_summed_at_once_and_a_tick_goes_on(ada: User) -> None:
    for hours_ago in (1, 30, 100):
        plant_job(ada, -60 * hours_ago + 10)
    rollup.backfill(HOUR - timedelta(days=5), at(0))
    assert len(rows(HOUR_S)) == 3
    assert len(rows()) == 2  # of the last days
    plant_job(ada, 1)
    rollup.roll_up(at(2))
    found = points("summarize", HOUR - timedelta(days=5), at(2), 86_400)
    assert sum(each.sums.ended for each in found) == 4
    assert [each.at.hour for each in found] == [0] * 6
    quarter = points(None, at(-60), at(2), 900)
    assert [each.sums.ended for each in quarter] == [1, 0, 0, 0, 1]
    with pytest.raises(ValueError, match="do not fit"):
        points(None, HOUR - timedelta(days=5), at(2), 900)
