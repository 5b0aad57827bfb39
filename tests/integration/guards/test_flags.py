"""Three flagged requests of a day slow their user down until midnight. The user reads why."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from aifeature import registry
from aifeature.guarding import Finding, Guard
from aifeature.models import Alert, ControlChange, GuardEvent, RateOverride
from aifeature.services.alerting import alerts
from aifeature.services.controls import cache, flags, rates, row_check
from aifeature.services.controls.throttles import SPEND_CHECK
from aifeature.services.guards import audit
from aifeature.services.jobs import admission
from aifeature.services.jobs.refusals import RateLimited
from tests import proof
from tests.integration.job_rows import MakeJob, database_time

pytestmark = pytest.mark.django_db

SUMMARIZE = registry.get("summarize")
WHY = "Three of your requests today looked like attempts to steer the AI"
FOUND = [Finding(Guard.INJECTION, "override"), Finding(Guard.INJECTION, "role")]


def refuse(user: User, times: int = 1, guard: Guard = Guard.INJECTION) -> None:
    """Store requests that were refused, each with two findings."""
    for _ in range(times):
        assert audit.record(
            user_id=user.pk,
            feature="summarize",
            job=None,
            stage=GuardEvent.Stage.INPUT,
            action=GuardEvent.Action.REFUSED,
            findings=[Finding(guard, each.category) for each in FOUND],
        )


def throttled(user: User) -> RateOverride:
    refuse(user, 3)
    flags.note(SUMMARIZE, user.pk)
    return RateOverride.objects.get()


def test_two_flagged_requests_change_nothing(ada: User, bob: User, make_job: MakeJob) -> None:
    yesterday = database_time() - timedelta(days=1)
    job = make_job()
    for at in (yesterday, database_time(), database_time()):
        GuardEvent.objects.create(
            user=ada, job=job if at > yesterday else None, at=at, feature="summarize",
            stage="input", guard="injection", category="role", action="flagged",
        )  # fmt: skip
    refuse(ada)
    refuse(ada, 2, Guard.PERSONAL_DATA)
    refuse(bob, 3)
    flags.note(SUMMARIZE, ada.pk)
    assert not RateOverride.objects.exists()


def test_the_third_slows_the_user_down_until_midnight(ada: User) -> None:
    made = throttled(ada)
    midnight = database_time().replace(hour=0, minute=0, second=0, microsecond=0)
    assert made.expires_at == midnight + timedelta(days=1)
    assert (made.feature, made.check_name) == ("", "guards.flags")
    rate = rates.of(SUMMARIZE, ada.pk)
    assert (rate.requests_per_minute, rate.in_flight) == (Decimal(3), 1)
    assert ControlChange.objects.get(field="rate_override").check_name == "guards.flags"
    alert = Alert.objects.get(kind="user_flagged")
    assert f"3 requests of user {ada.pk} today were flagged" in alert.summary
    row_check.check()
    assert Alert.objects.filter(closed_at=None).exists()
    Alert.objects.update(opened_at=midnight - timedelta(seconds=1))
    row_check.check()
    assert not Alert.objects.filter(closed_at=None).exists()


def test_a_throttle_that_an_operator_lifts_is_not_made_again_today(ada: User) -> None:
    throttled(ada).delete()
    cache.clear_cache()
    flags.note(SUMMARIZE, ada.pk)
    assert not RateOverride.objects.exists()
    Alert.objects.update(figures={"day": "2020-01-01"})
    flags.note(SUMMARIZE, ada.pk)
    assert RateOverride.objects.exists(), "it was lifted on another day"
    assert Alert.objects.filter(closed_at=None).count() == 1


@pytest.mark.usefixtures("committed")
def test_two_requests_at_once_make_one_throttle(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    both_found_none = threading.Barrier(2)
    end = alerts.end

    def wait_then_end(kind: str, subject: str) -> bool:
        """Let the other thread make the throttle too, if nothing stops it."""
        with suppress(threading.BrokenBarrierError):
            both_found_none.wait(timeout=0.3)
        return end(kind, subject)

    def note(_: int) -> None:
        flags.note(SUMMARIZE, ada.pk)
        connection.close()

    refuse(ada, 3)
    connection.close()
    monkeypatch.setattr(alerts, "end", wait_then_end)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(note, range(2)))
    assert RateOverride.objects.count() == Alert.objects.count() == 1


@pytest.mark.usefixtures("live_prompt", "opened")
def test_only_the_user_reads_why_on_the_pages(ada: User, bob: User) -> None:
    throttled(ada)
    proof.open_to_users("triage")
    RateOverride.objects.create(
        user=ada, feature="triage", in_flight=1, check_name=SPEND_CHECK, reason="r"
    )
    client = Client()
    addresses = [reverse("start"), reverse("feature", args=["summarize"]), reverse("account")]
    client.force_login(ada)
    pages = [client.get(address).text for address in addresses]
    assert all(f"{WHY}, so you can send fewer requests until 00:00 UTC" in text for text in pages)
    assert ["far more than usual" in text for text in pages] == [True, False, True]
    bob.is_staff = True
    bob.save()
    client.force_login(bob)
    assert not any(WHY in client.get(address).text for address in addresses)


def test_the_refusal_names_the_reason(ada: User) -> None:
    throttled(ada)
    for _ in range(3):
        admission._take_or_refuse(SUMMARIZE, ada.pk)
    with pytest.raises(RateLimited, match=WHY):
        admission._take_or_refuse(SUMMARIZE, ada.pk)
