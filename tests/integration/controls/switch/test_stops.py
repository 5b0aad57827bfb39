"""Stops by persons and by checks: the first one counts, and each change has a record."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from aifeature.models import Alert, ControlChange, FeatureControl, KillMode, Status
from aifeature.services.controls import effective, kill_switch_history, switch, switch_state
from aifeature.services.controls.effective import GLOBAL
from aifeature.services.dispatch import recovery
from tests.integration.job_rows import MakeJob

pytestmark = pytest.mark.django_db


def stop(user: User, *, mode: KillMode = KillMode.HOLD, reason: str = "r") -> bool:
    return switch.stop("summarize", reason=reason, mode=mode, user_id=user.pk)


def release(user: User) -> None:
    switch.release("summarize", reason="Fixed.", user_id=user.pk)


def trip(slug: str = "summarize", *, check: str = "cost_spike", reason: str = "r") -> bool:
    return switch.trip(slug, check=check, reason=reason, figures={})


def reason_and_mode() -> tuple[str, str]:
    row = FeatureControl.objects.get(feature="summarize")
    return row.kill_reason, row.kill_mode


@pytest.mark.parametrize("mode", KillMode)
@pytest.mark.parametrize("pulled_by", ["person", "check"])
def test_a_second_stop_changes_nothing(ada: User, mode: KillMode, pulled_by: str) -> None:
    if pulled_by == "person":
        assert stop(ada, reason="The first.")
    else:
        assert trip(reason="The first.")
    before = list(ControlChange.objects.values())
    assert not stop(ada, reason="The second.", mode=mode)
    assert reason_and_mode() == ("The first.", "hold")
    assert list(ControlChange.objects.values()) == before


@pytest.mark.django_db(transaction=True)
def test_the_first_of_concurrent_stops_keeps_its_reason() -> None:
    people = [User.objects.create_user(f"user{n}") for n in range(6)]
    begin = threading.Barrier(len(people))
    stopped: list[str] = []

    def pull(person: User) -> None:
        begin.wait(60)
        if stop(person, reason=f"By {person}.", mode=KillMode.CANCEL):
            stopped.append(f"By {person}.")
        connection.close()

    threads = [threading.Thread(target=pull, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(stopped) == 1
    assert reason_and_mode() == (stopped[0], "cancel")
    assert ControlChange.objects.filter(field="killed").get().reason == stopped[0]


def test_a_change_of_the_reason_releases_nothing(ada: User) -> None:
    assert not switch.change_reason("summarize", reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    assert not ControlChange.objects.exists()
    stop(ada, reason="The first.")
    assert switch.change_reason("summarize", reason="r", mode=KillMode.CANCEL, user_id=ada.pk)
    assert switch.is_stopped("summarize")
    assert reason_and_mode() == ("r", "cancel")
    release(ada)
    assert not switch.change_reason("summarize", reason="r2", mode=KillMode.HOLD, user_id=ada.pk)
    assert reason_and_mode()[0] == ""


@pytest.mark.parametrize(("reason", "user"), [(" ", 0), ("r", 1)])
def test_the_database_requires_a_reason_and_a_person(ada: User, reason: str, user: int) -> None:
    stop(ada, reason="The first.")
    arguments: list[Any] = ["summarize", "hold", reason, ada.pk + user]
    with (
        pytest.raises(Exception, match=r"with a reason|no user with the id"),
        connection.cursor() as c,
    ):
        c.execute("SELECT aif_switch_change_reason(%s, %s, %s, %s)", arguments)


def test_a_trip_holds_jobs_after_a_stop_that_cancelled(make_job: MakeJob, ada: User) -> None:
    stop(ada, mode=KillMode.CANCEL)
    release(ada)
    job = make_job()
    assert trip()
    recovery.sweep()
    job.refresh_from_db()
    assert (job.status, job.wait_reason) == (Status.QUEUED, "feature_paused")


def test_a_trip_changes_no_stop_of_a_person(ada: User) -> None:
    stop(ada, mode=KillMode.CANCEL, reason="Odd answers.")
    assert not trip()
    row = FeatureControl.objects.get(feature="summarize")
    assert (row.kill_reason, row.kill_mode) == ("Odd answers.", "cancel")
    assert not Alert.objects.exists()
    assert kill_switch_history.latest("summarize") == []


def test_this_process_sees_a_trip_immediately(ada: User) -> None:
    assert not effective.is_paused("summarize", ada.pk)
    assert trip()
    assert effective.is_paused("summarize", ada.pk)


def test_trips_are_listed_newest_first(ada: User) -> None:
    stop(ada)
    release(ada)
    for check in ("cost_spike", "overrun"):
        assert trip(check=check)
        release(ada)
    assert trip(GLOBAL)
    own = [("summarize", "overrun"), ("summarize", "cost_spike")]
    for slug, trips in (("summarize", own), (GLOBAL, [(GLOBAL, "cost_spike"), *own])):
        latest = kill_switch_history.latest(slug)
        assert [(pull.feature, pull.check_name) for pull in latest] == trips


def test_the_last_person_to_stop_is_shown(ada: User, bob: User) -> None:
    for user in (ada, bob):
        stop(user, reason=f"By {user.username}.")
        if user == ada:
            release(ada)
    pulled = switch_state.of("summarize").pulled
    assert pulled is not None
    assert (pulled.user, pulled.reason) == (bob, "By bob.")
