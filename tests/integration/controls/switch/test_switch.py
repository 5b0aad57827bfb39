"""A person or a check pulls a switch, and a person releases it; the jobs follow."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from aifeature.models import (
    Alert,
    ControlChange,
    FeatureControl,
    Job,
    KillMode,
    SpendWindow,
    Status,
    fair_queue,
    heartbeats,
    switches,
    transitions,
)
from aifeature.models.functions import rows
from aifeature.models.transitions import AttemptRefusedError, Claimed
from aifeature.policies import release
from aifeature.reasons import WaitReason
from aifeature.services.alerting import alerts
from aifeature.services.controls import effective, switch
from aifeature.services.dispatch import recovery
from aifeature.services.texts import CANCELLED_BY_SWITCH, WAITING
from tests.integration.execution.keeper.conftest import ROW, locked
from tests.integration.job_rows import MakeJob, begin, claim

pytestmark = pytest.mark.django_db

GLOBAL = effective.GLOBAL


@pytest.fixture(params=["summarize", GLOBAL])
def slug(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def paused_places(slug: str, *, percent: int) -> list[int]:
    """Return the ids, of the first 300, for which a switch stays on."""
    return [n for n in range(1, 301) if not release.is_released(slug, n, percent=percent)]


def test_the_effect_of_a_stop_is_counted_before(make_job: MakeJob, slug: str) -> None:
    for _ in range(3):
        make_job()
    for micro in (700_000, 500_000):
        begin(claim(make_job()), bound=micro)
    make_job(status="failed", finished_at="2020-01-01T00:00:00Z")
    found = switch.would_stop(slug)
    assert (found.running, found.queued, found.held_micro) == (2, 3, 1_200_000)
    assert switch.would_stop("triage") == switches.WouldStop(0, 0, 0)


def test_a_stop_records_person_and_reason(ada: User, slug: str) -> None:
    switch.stop(slug, reason="Odd answers.", mode=KillMode.HOLD, user_id=ada.pk)
    row = FeatureControl.objects.get(feature=slug)
    assert (row.killed, row.kill_reason, row.kill_mode) == (True, "Odd answers.", "hold")
    change = ControlChange.objects.get(field="killed")
    assert (change.user, change.new, change.reason) == (ada, "True", "Odd answers.")
    assert effective.is_paused("summarize", ada.pk)


def test_a_stopped_feature_sends_nothing(make_job: MakeJob, ada: User, slug: str) -> None:
    waiting, running = make_job(), claim(make_job())
    switch.stop(slug, reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    assert fair_queue.dispatch(limit=9, lost_after_s=60, again_after_s=10, max_concurrency={}) == []
    with pytest.raises(AttemptRefusedError, match="paused"):
        begin(running)
    assert heartbeats.paused(rows, [("summarize", running.user_id)])
    waiting.refresh_from_db()
    assert waiting.published_at is None


@pytest.mark.django_db(transaction=True)
def test_a_stop_while_a_call_waits_for_its_row_is_seen(make_job: MakeJob, ada: User) -> None:
    """The statement of the call begins before the flip and ends after it."""
    FeatureControl.objects.create(feature="summarize")
    running = claim(make_job())
    with locked(ROW, running.job):
        verdicts: list[str] = []
        caller = threading.Thread(target=lambda: verdicts.append(verdict_of(running)))
        caller.start()
        wait_for_lock()
        FeatureControl.objects.update(killed=True)
    caller.join(60)
    assert verdicts == ["paused"]
    assert not SpendWindow.objects.filter(held_micro__gt=0).exists()


def test_held_jobs_go_on_after_the_release(make_job: MakeJob, ada: User, slug: str) -> None:
    job = make_job()
    switch.stop(slug, reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    recovery.sweep()
    job.refresh_from_db()
    assert (job.status, job.wait_reason) == (Status.QUEUED, "feature_paused")
    assert job.error_message == WAITING[WaitReason.FEATURE_PAUSED]
    switch.release(slug, reason="Fixed.", user_id=ada.pk)
    assert recovery.sweep() == 1
    job.refresh_from_db()
    assert (job.status, job.wait_reason, job.error_message) == (Status.QUEUED, "", "")
    assert job.published_at is not None


def test_a_release_ends_cancellation(make_job: MakeJob, ada: User, slug: str) -> None:
    switch.stop(slug, reason="r", mode=KillMode.CANCEL, user_id=ada.pk)
    switch.release(slug, reason="Fixed.", user_id=ada.pk)
    job = make_job()
    recovery.sweep()
    job.refresh_from_db()
    assert (job.status, job.wait_reason) == (Status.QUEUED, "")
    assert job.published_at is not None


def test_jobs_of_other_features_are_unchanged(make_job: MakeJob, ada: User) -> None:
    held, other = make_job(), make_job(feature="triage")
    switch.stop("summarize", reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    assert switch.settle_stopped() == 1
    for job in (held, other):
        job.refresh_from_db()
    assert (held.wait_reason, other.wait_reason) == ("feature_paused", "")


def test_another_wait_reason_is_kept(make_job: MakeJob) -> None:
    waiting = {"wait_reason": "provider_waiting", "error_message": "We keep trying."}
    job = make_job(run_at=Now() + timedelta(seconds=60), **waiting)
    recovery.sweep()
    job.refresh_from_db()
    assert (job.wait_reason, job.error_message) == tuple(waiting.values())


def test_deadlines_run_on_while_jobs_are_held(make_job: MakeJob, ada: User) -> None:
    job = make_job(deadline_at="2020-01-01T00:00:00Z")
    switch.stop("summarize", reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    recovery.sweep()
    job.refresh_from_db()
    assert (job.status, job.error_code) == (Status.FAILED, "feature_paused")


def test_cancelled_jobs_end_with_the_reason(make_job: MakeJob, ada: User, slug: str) -> None:
    waiting, other = make_job(), make_job(feature="triage")
    running = claim(make_job())
    switch.stop(slug, reason="r", mode=KillMode.CANCEL, user_id=ada.pk)
    recovery.sweep()
    for job in (waiting, other):
        job.refresh_from_db()
    assert (waiting.status, waiting.error_code) == (Status.CANCELLED, "cancelled")
    assert waiting.error_message == CANCELLED_BY_SWITCH
    assert other.status == (Status.CANCELLED if slug == GLOBAL else Status.QUEUED)
    run = (running.job, running.epoch)
    assert heartbeats.running(rows, [run]) == {run: True}
    transitions.finish(running, Status.CANCELLED, error_code="cancelled")
    assert Job.objects.get(pk=running.job).error_message == CANCELLED_BY_SWITCH


def test_a_release_cancels_remaining_jobs(
    make_job: MakeJob, ada: User, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No control worker runs between the flip and the release."""
    monkeypatch.setattr(switch, "BATCH", 2)
    waiting, running = [make_job() for _ in range(3)], claim(make_job())
    switch.stop(slug, reason="r", mode=KillMode.CANCEL, user_id=ada.pk)
    switch.release(slug, reason="Fixed.", user_id=ada.pk)
    for job in waiting:
        job.refresh_from_db()
    assert {job.status for job in waiting} == {Status.CANCELLED}
    run = (running.job, running.epoch)
    assert heartbeats.running(rows, [run]) == {run: True}
    held = make_job()
    switch.stop(slug, reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    switch.release(slug, reason="Fixed.", user_id=ada.pk)
    held.refresh_from_db()
    assert held.status == Status.QUEUED


def test_only_a_person_with_a_reason_releases_it(ada: User, slug: str) -> None:
    switch.stop(slug, reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    released = FeatureControl.objects.filter(feature=slug)
    for release_it in (
        lambda: released.update(killed=False),
        lambda: effective.change(slug, {"killed": False}, reason="r", check_name="a check"),
    ):
        with pytest.raises(IntegrityError, match="releasing its kill switch is refused"):
            commit(release_it)
        assert switch.is_stopped(slug)
    with pytest.raises(ValueError, match="needs a reason"):
        switch.release(slug, reason=" ", user_id=ada.pk)
    commit(lambda: switch.release(slug, reason="Fixed.", user_id=ada.pk))
    assert not switch.is_stopped(slug)


def test_the_row_of_a_pulled_switch_cannot_be_deleted(ada: User, slug: str) -> None:
    switch.stop(slug, reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    row = FeatureControl.objects.filter(feature=slug)
    for take_away in (row.delete, lambda: row.update(feature="gone")):
        with pytest.raises(IntegrityError, match="is refused"):
            commit(take_away)
    commit(lambda: switch.release(slug, reason="Fixed.", user_id=ada.pk))
    row.delete()


def test_a_trip_without_its_alert_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(alerts, "begin", dies)
    with pytest.raises(KeyboardInterrupt):
        switch.trip("summarize", check="cost_spike", reason="r", figures={})
    assert not switch.is_stopped("summarize")
    monkeypatch.undo()
    assert switch.trip("summarize", check="cost_spike", reason="r", figures={})
    assert Alert.objects.filter(kind="kill_switch").exists()


def test_held_jobs_wake_no_dispatcher(make_job: MakeJob, ada: User, slug: str) -> None:
    make_job()
    due = fair_queue.next_due_s()
    assert due is not None
    assert due < 1
    switch.stop(slug, reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    until = fair_queue.next_due_s()
    assert until is not None
    assert until > 60, "only its deadline"


def test_a_wider_release_needs_a_reason(ada: User) -> None:
    switch.stop("summarize", reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    commit(lambda: switch.release("summarize", reason="Try.", user_id=ada.pk, percent=10))
    rows = FeatureControl.objects.filter(feature="summarize")
    with pytest.raises(IntegrityError, match="releasing its kill switch is refused"):
        commit(lambda: rows.update(release_percent=50))
    commit(lambda: rows.update(release_percent=5))  # fewer is no release
    commit(lambda: switch.release("summarize", reason="Fine.", user_id=ada.pk, percent=50))


def test_the_database_and_the_code_admit_the_same_users(slug: str) -> None:
    for user in (1, 2, 7, 99, 12_345, 2**40):
        assert rows("aif_release_place", slug, user) == [(release.place(slug, user),)]
    assert 180 < len(paused_places(slug, percent=30)) < 240
    assert set(paused_places(slug, percent=60)) < set(paused_places(slug, percent=30))


def test_a_partial_release_is_stable(make_job: MakeJob, ada: User, bob: User, slug: str) -> None:
    while release.place(slug, ada.pk) == release.place(slug, bob.pk):
        bob = User.objects.create_user(f"bob{User.objects.count()}")
    low, high = sorted((ada, bob), key=lambda user: release.place(slug, user.pk))
    percent = release.place(slug, low.pk) + 1
    switch.stop(slug, reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    held, free = make_job(user=high), make_job(user=low)
    switch.release(slug, reason="Try.", user_id=ada.pk, percent=percent)
    assert not effective.is_paused("summarize", low.pk)
    assert effective.is_paused("summarize", high.pk)
    recovery.sweep()
    for job in (held, free):
        job.refresh_from_db()
    assert free.published_at is not None
    assert (held.published_at, held.wait_reason) == (None, "feature_paused")
    with pytest.raises(AttemptRefusedError, match="paused"):
        begin(claim(held))
    begin(claim(free))


def test_a_trip_holds_jobs_and_records_its_figures(ada: User, slug: str) -> None:
    figures = {"today_micro": 5, "baseline_micro": 2}
    assert switch.trip(slug, check="cost_spike", reason="Twice the usual.", figures=figures)
    assert not switch.trip(slug, check="cost_spike", reason="Again.", figures={})
    row = FeatureControl.objects.get(feature=slug)
    assert (row.killed, row.kill_mode, row.kill_reason) == (True, "hold", "Twice the usual.")
    change = ControlChange.objects.get(feature=slug)
    assert (change.check_name, change.user, change.figures) == ("cost_spike", None, figures)
    assert Alert.objects.get(kind="kill_switch", subject=slug).closed_at is None
    switch.release(slug, reason="Expected.", user_id=ada.pk)
    assert Alert.objects.get(kind="kill_switch", subject=slug).closed_at is not None


def test_a_wiped_redis_releases_nothing(make_job: MakeJob, ada: User, slug: str) -> None:
    make_job()
    switch.stop(slug, reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    with redis.Redis.from_url(settings.REDIS_URL, protocol=2) as client:
        client.flushdb()
    effective.cache.clear()
    assert effective.is_paused("summarize", ada.pk)
    assert recovery.sweep() == 0


def test_there_is_no_switch_of_another_name(ada: User) -> None:
    with pytest.raises(ValueError, match=r"no feature 'sumarize': choose one of _everything, .*"):
        switch.stop("sumarize", reason="r", mode=KillMode.HOLD, user_id=ada.pk)
    with pytest.raises(ValueError, match="no feature 'sumarize'"):
        switch.trip("sumarize", check="control.budgets", reason="r", figures={})


def verdict_of(running: Claimed) -> str:
    try:
        begin(running)
    except AttemptRefusedError as refused:
        return refused.verdict
    finally:
        connection.close()
    return "ok"


def wait_for_lock() -> None:
    """Wait until a statement of this database waits for a lock."""
    end = time.monotonic() + 60
    with connection.cursor() as cursor:
        while time.monotonic() < end:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # kept during a transaction
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0]:
                return
            time.sleep(0.01)
    raise AssertionError("nothing waits")


def commit(change: Any) -> None:
    """Make a change, and check the deferred constraints as at the end of a transaction."""
    with transaction.atomic():
        change()
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
