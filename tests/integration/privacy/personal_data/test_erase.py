"""An erasure leaves no data of the person, and changes no figure."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from axes.models import AccessAttempt
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from aifeature.models import (
    AccessBlock,
    ApiToken,
    Attempt,
    BetaMember,
    ControlChange,
    FeatureControl,
    Feedback,
    GuardEvent,
    Job,
    Launch,
    NpsAnswer,
    RateOverride,
    SpendWindow,
)
from aifeature.services.jobs import lifecycle
from aifeature.services.jobs.lifecycle import CannotRequeueError
from aifeature.services.privacy import closing, erasure, sums
from tests.integration.api.api_jobs import bearer
from tests.integration.job_rows import make_launch, make_ramp
from tests.integration.privacy.personal_data.conftest import KEY, NAME, PERSONAL, SAID
from tests.integration.privacy.personal_data.erasing import CASE, lines_with, run, whole_database
from tests.integration.privacy.retention.conftest import EndedJob, call


def test_nothing_of_the_person_is_left(full_life: User, store: redis.Redis) -> None:
    assert len(list(store.scan_iter("aif:stream:*"))) == 2
    before = {word: lines_with(word) for word in PERSONAL}
    assert all(before.values()), "each was there"
    run()
    kept = [line for word in PERSONAL for line in lines_with(word)]
    # bob used the same words, and keeps them.
    assert {line.split(":")[0] for line in kept} <= {
        *("aifeature_job", "aifeature_attempt", "aifeature_guardevent")
    }
    assert Job.objects.get(user__username="bob").input == {"document": SAID}
    assert not Job.objects.filter(user=full_life, input__isnull=False).exists()
    assert not Attempt.objects.filter(user=full_life, request__isnull=False).exists()
    assert not Attempt.objects.filter(user=full_life).exclude(output="").exists()
    assert not Attempt.objects.filter(user=full_life).exclude(error_detail="").exists()
    row = Feedback.objects.get(user=full_life)
    assert (row.answer, row.comment, row.rating, row.reasons) == (None, "", -1, ["wrong"])
    events = GuardEvent.objects.order_by("id").values_list("evidence", flat=True)
    assert list(events) == ["", "", SAID], "bob's stays"
    assert not list(store.scan_iter("aif:stream:*"))


def test_every_figure_is_as_it_was(full_life: User) -> None:
    def figures() -> list[Any]:
        call_content = {"request", "output", "error_detail"}
        job_content = {"input", "result", "error_message", "idempotency_key"}
        job_content |= {"request_digest", "approval_reason"}
        kept = [
            (Attempt, call_content),
            (Job, {*job_content, "content_blanked_at"}),
            (SpendWindow, set()),
            (Feedback, {"answer", "comment"}),
            (NpsAnswer, set()),
        ]
        return [
            [{k: v for k, v in row.items() if k not in without} for row in rows]
            for model, without in kept
            for rows in [model._default_manager.order_by("pk").values()]
        ]

    before, totals = figures(), sums.of_everything()
    assert totals["calls"][0]["sum_cost_micro"] > 0
    assert totals["windows"]["sum_spent_micro"] > 0
    run()
    assert figures() == before
    assert sums.of_everything() == totals


def test_an_empty_account_and_the_data_of_others_stay(full_life: User, bob: User) -> None:
    out = run()
    user = User.objects.get(pk=full_life.pk)
    assert user.username == f"erased-{user.pk}"
    assert (user.is_active, user.is_staff, user.is_superuser) == (False, False, False)
    assert not user.has_usable_password()
    assert (user.first_name, user.last_name, user.email, user.last_login) == ("", "", "", None)
    assert not user.groups.exists()
    assert not user.user_permissions.exists()
    assert f"Erased: the account is now erased-{user.pk}." in out

    change = ControlChange.objects.latest("pk")
    assert (change.field, change.reason) == ("erased_account", CASE)
    assert change.new == f"account {full_life.pk}, content of 2 jobs"
    assert change.check_name == "manage.py erase_user"

    assert Session.objects.count() == 1
    assert AccessAttempt.objects.get().username == "bob"
    assert list(FeatureControl.objects.get().beta_users.all()) == [bob]
    assert Job.objects.get(user=bob).idempotency_key == KEY
    assert LogEntry.objects.get(object_id=str(bob.pk)).object_repr == "bob"
    assert BetaMember.objects.get().user == bob
    (block,) = AccessBlock.objects.all()
    assert (block.user, block.created_by_id) == (bob, full_life.pk)
    (kept,) = RateOverride.objects.all()
    assert (kept.user, kept.created_by_id) == (bob, full_life.pk)
    assert Launch.objects.get().announced_by_id == full_life.pk


@pytest.mark.parametrize(
    "reason", ["", "  ", "Ada.Lovelace asked.", "By ada@countess.example", "augusta lovelace"]
)
def test_a_reason_that_is_missing_or_names_the_person_is_refused(ada: User, reason: str) -> None:
    with pytest.raises(CommandError, match="reason"):
        run(reason=reason)
    ada.refresh_from_db()
    assert ada.is_active


def test_run_again_it_changes_nothing(full_life: User) -> None:
    run()
    first = whole_database()
    out = run(f"erased-{full_life.pk}")
    assert "Nothing was left to erase" in out
    assert whole_database() == first
    with pytest.raises(CommandError, match=r"no user named 'ada\.lovelace'.*erased-<id>"):
        run()


def test_the_plan_needs_a_confirmation(full_life: User, monkeypatch: pytest.MonkeyPatch) -> None:
    before, out = whole_database(), io.StringIO()
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    with pytest.raises(CommandError, match="Not confirmed"):
        call_command("erase_user", NAME, "--reason", CASE, stdout=out)
    assert "2 jobs, 0 of them open" in out.getvalue()
    assert "content of 2 jobs in 3 provider calls" in out.getvalue()
    assert "1 ratings of answers" in out.getvalue()
    assert "1 valid API tokens" in out.getvalue()
    assert "1 sessions and 6 records of sign-ins" in out.getvalue()
    assert whole_database() == before
    monkeypatch.setattr("builtins.input", lambda _: NAME)
    call_command("erase_user", NAME, "--reason", CASE, stdout=out)
    assert not lines_with(NAME)


def test_kept_records_with_the_name_are_listed(ada: User, bob: User, ended: EndedJob) -> None:
    job = ended(days_ago=1)
    settled = call(
        job, settled_by=bob, settled_reason=f"As {NAME} says.", settled_at=timezone.now()
    )
    row = ControlChange.objects.create(
        feature="summarize", field="killed", reason=f"{NAME} sent too much."
    )
    ControlChange.objects.create(feature="summarize", field="killed", reason=f"x{NAME}x")
    rates = RateOverride.objects.create(user=bob, in_flight=1, reason=f"Not {NAME}.")
    launch = make_launch(note=f"Talk of {NAME}.")
    ramp = make_ramp(reason=f"{NAME} wants it.")
    listed = f"change {row.pk}, call {settled.pk}, rates {rates.pk}, launch {launch.pk},"
    listed += f" ramp {ramp.pk}."
    assert f"records that stay: {listed}" in run()


def test_log_messages_with_the_name_are_erased(ada: User, bob: User, ended: EndedJob) -> None:
    job = ended(days_ago=1)
    for message in (f"Requeued: {NAME} asked.", "Requeued: it was our fault."):
        LogEntry.objects.log_actions(bob.pk, [job], CHANGE, message, single_object=True)
    run()
    messages = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert list(messages) == ["erased", "Requeued: it was our fault."]


def test_a_job_of_a_closed_account_stays_failed(ada: User, opened: None, ended: EndedJob) -> None:
    failed = ended(days_ago=1, status="failed", result=None, charge_micro=0)
    closing.close(ada)
    with pytest.raises(CannotRequeueError, match="account of its user is closed"):
        lifecycle.requeue(job_id=failed.pk)


def test_tokens_and_sessions_end_at_once(ada: User, opened: None) -> None:
    program, browser = bearer(ada), Client()
    browser.force_login(ada)
    assert program.get("/api/v1/jobs").status_code == 200
    assert browser.get("/jobs/").status_code == 200
    run()
    assert program.get("/api/v1/jobs").status_code == 401
    assert browser.get("/jobs/").status_code == 302
    token = ApiToken.objects.get()
    assert token.name == "erased"
    assert token.revoked_at is not None, "they stay revoked if the account is reopened"


def test_without_redis_the_rest_is_erased_with_a_warning(full_life: User, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    out = run()
    assert "Redis is unavailable" in out
    assert "until they expire" in out
    assert not lines_with(NAME)


def test_an_erasure_that_would_change_a_sum_is_undone_as_a_whole(full_life: User) -> None:
    """A fault in the database itself: blanking a call moves money."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION move_money() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN UPDATE aifeature_spendwindow SET spent_micro = spent_micro + 1; RETURN NEW;"
            " END';"
            "CREATE TRIGGER move_money AFTER UPDATE ON aifeature_attempt"
            " FOR EACH STATEMENT EXECUTE FUNCTION move_money()"
        )
    try:
        with pytest.raises(CommandError, match="sums of the ledger would have changed"):
            run()
        connection.close()
        assert Job.objects.filter(user=full_life, input=None).count() == 0
        full_life.refresh_from_db()
        assert full_life.username == NAME
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION move_money CASCADE")


def test_spend_of_other_users_meanwhile_is_no_change(
    full_life: User, bob: User, ended: EndedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spend_elsewhere(_: str) -> None:
        with ThreadPoolExecutor(1) as other:
            other.submit(spend).result(60)

    def spend() -> None:
        try:
            call(ended(days_ago=0, user=bob))
        finally:
            connection.close()

    closing.close(full_life)
    assert erasure.erase(full_life, reason=CASE, report=spend_elsewhere)
    assert Job.objects.filter(user=bob).count() == 2
