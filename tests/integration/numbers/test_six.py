"""Readings, and what depends on them, from planted jobs."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F

from aifeature.models import (
    AuditedAnswer,
    Evidence,
    HealthReading,
    Level,
    Ramp,
    SpendHour,
    Status,
    UserCostDay,
)
from aifeature.models.functions import database_now
from aifeature.policies.numbers import Six
from aifeature.services.alarms import check as alarms
from aifeature.services.numbers import audits, readings, rollup, six
from aifeature.services.numbers.six import Number
from aifeature.services.privacy import export
from aifeature.services.rollout import check, health, ramps
from tests import proof
from tests.integration.numbers.planted import made_job, plant_jobs, votes

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
GREEN, AMBER, RED = Level.GREEN, Level.AMBER, Level.RED


def plant(user: User, now: datetime, count: int, **values: Any) -> None:
    """Store jobs that ended in the last minutes. Those with an answer get a thumb up."""
    begun = [now - MINUTE - number * timedelta(seconds=5) for number in range(count)]
    jobs = plant_jobs([made_job(user, each, **values) for each in begun])
    votes([job for job in jobs if job.status == Status.SUCCEEDED], 1)


def plant_cost(now: datetime, *, micro: int) -> None:
    """Store three days with a dollar per user, and this hour's spend of ten users."""
    for age in (1, 2, 3):
        UserCostDay.objects.create(
            feature="summarize", day=now.date() - age * DAY, users=10, spend_micro=10_000_000
        )
    hour = now.replace(minute=0, second=0, microsecond=0)
    SpendHour.objects.filter(scope="user").delete()
    SpendHour.objects.bulk_create(
        SpendHour(scope="user", key=f"summarize:{n}", hour=hour, spend_micro=micro, calls=1)
        for n in range(10)
    )


def measured(now: datetime) -> dict[str, Number]:
    rollup.roll_up(now)
    return readings.measure(now)["summarize"]


@pytest.fixture(autouse=True)
def _no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup, "HISTORY", timedelta())


@pytest.mark.usefixtures("live_prompt")
def test_a_ramp_moves_and_steps_back_by_readings_of_jobs(ada: User) -> None:
    now = database_now()
    ramps.start("summarize", steps=(5, 10, 100), hours_per_step=1, reason="r", user_id=ada.pk)
    readings.measure(now)
    assert not HealthReading.objects.exists()  # nothing happened: it is unknown, and not green
    plant(ada, now, 60)
    plant_cost(now, micro=1_500_000)
    assert {name: each.level for name, each in measured(now).items()} == {
        **dict.fromkeys(("errors", "latency", "cost", "thumbs_down"), GREEN),
        **dict.fromkeys(("evals", "hallucinations")),
    }
    Ramp.objects.update(healthy_s=3600, checked_at=F("checked_at") - MINUTE)
    check.check()
    assert Ramp.objects.get().step == 1
    plant(ada, now, 40, status=Status.FAILED, error_code="provider_unavailable")
    assert measured(now)["errors"].value == pytest.approx(0.4)
    assert health.read("summarize").why == "Errors: red, 0.4 (threshold 0.02)."
    Ramp.objects.update(checked_at=F("checked_at") - MINUTE)
    check.check()
    assert Ramp.objects.get().state == Ramp.State.STEPPED_BACK


def test_a_reading_keeps_the_beginning_of_its_level(ada: User) -> None:
    now = database_now() - timedelta(minutes=10)
    plant(ada, now, 30)
    plant_cost(now, micro=2_500_000)
    measured(now)
    cost = HealthReading.objects.get(number="cost")
    assert (cost.level, cost.figures["value"]) == (RED, 2.5)
    measured(now + MINUTE)
    errors = HealthReading.objects.get(number="errors")
    assert (errors.since, errors.measured_at) == (now, now + MINUTE)
    plant(ada, now + MINUTE, 20, status=Status.FAILED, error_code="output_invalid")
    measured(now + 2 * MINUTE)
    errors = HealthReading.objects.get(number="errors")
    assert (errors.level, errors.since) == (RED, now + 2 * MINUTE)
    begins = datetime.fromisoformat(errors.figures.pop("begins"))
    assert timedelta(hours=1) <= now + 2 * MINUTE - begins < timedelta(minutes=65)
    assert errors.figures.pop("low") < errors.figures.pop("high")
    assert (errors.figures["sample"], errors.figures["window_s"]) == (50, 3600)
    assert (errors.figures["value"], errors.figures["threshold"]) == (0.4, 0.02)


def test_few_requests_are_measured_over_a_longer_time(ada: User) -> None:
    now = database_now()
    for hour in range(6):
        plant(ada, now - timedelta(hours=hour), 4)
    rollup.backfill(now - DAY, now)
    found = six.of("summarize", now)
    assert (found["errors"].sample, found["errors"].window_s) == (24, 6 * 3600)
    assert found["thumbs_down"].level is None


def test_one_person_alone_makes_no_share_red(ada: User, bob: User) -> None:
    now = database_now()
    plant(bob, now, 40)
    plant(ada, now, 40, status=Status.FAILED, error_code="off_topic")
    assert measured(now)["errors"].level is AMBER
    plant(bob, now, 40, status=Status.FAILED, error_code="off_topic")
    assert measured(now)["errors"].level is RED, "all people of this feature"
    cleo = User.objects.create_user("cleo")
    plant(cleo, now, 1)
    assert measured(now)["errors"].level is AMBER, "two of three people"
    plant(cleo, now, 20, took_s=30)
    assert measured(now)["latency"].level is AMBER
    plant(ada, now, 20, took_s=30)
    plant(bob, now, 20, took_s=30)
    assert measured(now)["latency"].level is RED
    jobs = plant_jobs([made_job(ada, now - MINUTE) for _ in range(60)])
    votes(jobs, -1)
    assert measured(now)["thumbs_down"].level is AMBER


def test_a_prompt_is_not_blamed_for_the_votes_of_another(ada: User) -> None:
    now = database_now()
    proof.activate("summarize", "v3")
    old = plant_jobs([made_job(ada, now - MINUTE, prompt_version="v1") for _ in range(100)])
    votes(old, -1)
    own = plant_jobs([made_job(ada, now - MINUTE) for _ in range(50)])
    votes(own[:49], 1)
    found = measured(now)["thumbs_down"]
    assert (found.level, found.sample, found.version) == (RED, 149, ""), "too few of its own"
    votes(own[49:], 1)
    found = measured(now)["thumbs_down"]
    assert (found.level, found.sample, found.version) == (GREEN, 50, "v3")
    more = plant_jobs([made_job(ada, now - MINUTE, prompt_version="v1") for _ in range(900)])
    votes(more, 1)
    votes(plant_jobs([made_job(ada, now - MINUTE) for _ in range(50)]), -1)
    found = measured(now)["thumbs_down"]
    assert (found.level, found.sample, found.version) == (RED, 100, "v3")
    assert found.bound == pytest.approx(0.387, abs=0.001)


def test_a_number_that_cannot_be_measured_stops_no_other(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = database_now()
    plant(ada, now, 60)
    broken = {**six.MEASURES, Six.ERRORS: lambda slug, now: User.objects.raw("SELECT nothing")[0]}
    monkeypatch.setattr(six, "MEASURES", broken)
    with pytest.raises(alarms.IncompleteError, match="reading errors of summarize"):
        alarms.check(now)
    assert HealthReading.objects.get(number="thumbs_down").level == GREEN

    monkeypatch.setattr(rollup, "roll_up", lambda now: 1 / 0)
    plant_cost(now, micro=1_500_000)
    with pytest.raises(alarms.IncompleteError, match="the roll-up"):
        alarms.check(now + MINUTE)
    assert HealthReading.objects.get(number="thumbs_down").measured_at == now, "sums are old"
    assert HealthReading.objects.get(number="cost").measured_at == now + MINUTE


def test_evaluations_are_as_old_as_their_newest_run(ada: User) -> None:
    now = database_now()
    for days, origin, points, decision in (
        (9, "weekly", -1.0, "pass"),
        (2, "weekly", -12.0, "regression"),
        (1, "command", -1.0, "pass"),
    ):
        Evidence.objects.create(
            feature="summarize", version="v3", provider="sandbox", prompt_hash="0" * 64,
            fingerprint="0" * 64, conditions={}, passed=decision == "pass", outcomes={}, runs=[],
            answered_by=[], origin=origin, measured_at=now - days * DAY,
            verdict={"decision": decision, "difference_points": points, "cases": 80,
                     "difference_interval": {"low": -20.0, "high": -4.0}},
        )  # fmt: skip
    found = measured(now)["evals"]
    assert (found.value, found.low, found.high, found.level) == (12.0, 4.0, 20.0, RED)
    assert HealthReading.objects.get().measured_at == now - 2 * DAY


def test_hallucinations_are_of_the_newest_week_with_labels(ada: User) -> None:
    now = database_now()
    monday = now.date() - timedelta(days=now.weekday())

    def label(week: date, count: int, label: str, sample: int = 1) -> None:
        jobs = plant_jobs([made_job(ada, now) for _ in range(count)])
        at = None if label == "waiting" else now - MINUTE
        AuditedAnswer.objects.bulk_create(
            AuditedAnswer(
                job=job,
                feature="summarize",
                week=week,
                sample=sample,
                label=label,
                labelled_by=ada,
                labelled_at=at,
                note="About ada.",
            )
            for job in jobs
        )

    label(monday - 7 * DAY, 18, "grounded")
    label(monday - 7 * DAY, 2, "hallucinated")
    label(monday - 7 * DAY, 9, "unclear")
    label(monday - 35 * DAY, 9, "hallucinated")
    label(monday, 3, "waiting")
    found = measured(now)["hallucinations"]
    assert (found.value, found.sample, found.level) == (0.1, 20, AMBER)
    assert HealthReading.objects.get().measured_at == now - MINUTE
    label(monday - 7 * DAY, 4, "hallucinated", sample=2)
    assert measured(now)["hallucinations"].level is RED
    rate = audits.rate("summarize", now)
    assert rate is not None
    assert (rate.labels, rate.labels_of_four) == (24, 24)
    assert '"answers_audited_by_you": [' in "".join(export.document(ada))
    with connection.cursor() as cursor:
        cursor.execute("SELECT aif_erase_jobs(%s, 100)", [ada.pk])
    assert set(AuditedAnswer.objects.values_list("note", flat=True)) == {""}
    assert measured(now)["hallucinations"].value == 6 / 24


@pytest.mark.django_db
def test_a_feature_that_was_removed_keeps_its_old_readings() -> None:
    now = database_now()
    HealthReading.objects.create(
        feature="removed", number="errors", level="red", measured_at=now - DAY
    )
    assert "removed" not in readings.measure(now)
    assert HealthReading.objects.get().measured_at == now - DAY
