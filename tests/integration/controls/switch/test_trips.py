"""Switches that a check pulled, and what is told of them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from aifeature.models import Alert, FeatureControl, KillMode, Status
from aifeature.services.controls import effective, kill_switch_history, switch, switch_state
from aifeature.services.controls.effective import GLOBAL
from aifeature.services.dispatch import recovery
from tests.integration.job_rows import MakeJob

pytestmark = pytest.mark.django_db


def stop(user: User, *, mode: KillMode = KillMode.HOLD, reason: str = "r") -> None:
    switch.stop("summarize", reason=reason, mode=mode, user_id=user.pk)


def release(user: User) -> None:
    switch.release("summarize", reason="Mended.", user_id=user.pk)


def trip(slug: str = "summarize", *, check: str = "cost_spike") -> bool:
    return switch.trip(slug, check=check, reason="r", figures={})


def test_it_holds_jobs_where_a_person_cancelled_them_before(make_job: MakeJob, ada: User) -> None:
    stop(ada, mode=KillMode.CANCEL)
    release(ada)
    job = make_job()
    assert trip()
    recovery.sweep()
    job.refresh_from_db()
    assert (job.status, job.wait_reason) == (Status.QUEUED, "feature_paused")


def test_what_a_person_has_stopped_stays_theirs(ada: User) -> None:
    stop(ada, mode=KillMode.CANCEL, reason="Odd answers.")
    assert not trip()
    row = FeatureControl.objects.get(feature="summarize")
    assert (row.kill_reason, row.kill_mode) == ("Odd answers.", "cancel")
    assert not Alert.objects.exists()
    assert kill_switch_history.latest("summarize") == []


def test_this_process_sees_it_at_once(ada: User) -> None:
    assert not effective.is_paused("summarize", ada.pk)
    assert trip()
    assert effective.is_paused("summarize", ada.pk)


def test_the_last_ones_are_those_of_checks_newest_first(ada: User) -> None:
    stop(ada)
    release(ada)
    for check in ("cost_spike", "overrun"):
        assert trip(check=check)
        release(ada)
    assert trip(GLOBAL)
    assert [pull.check_name for pull in kill_switch_history.latest("summarize")] == [
        "overrun",
        "cost_spike",
    ]
    every = [(pull.feature, pull.check_name) for pull in kill_switch_history.latest(GLOBAL)]
    assert every == [
        (GLOBAL, "cost_spike"),
        ("summarize", "overrun"),
        ("summarize", "cost_spike"),
    ]


def test_who_pulled_it_is_who_did_so_last(ada: User, bob: User) -> None:
    for user in (ada, bob):
        stop(user, reason=f"{user.username} says so.")
        if user == ada:
            release(ada)
    pulled = switch_state.of("summarize").pulled
    assert pulled is not None
    assert (pulled.user, pulled.reason) == (bob, "bob says so.")
