"""A shadow answers requests of users again, on real stores, and touches nothing of its users."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.models.functions import Now

from aifeature import registry
from aifeature.models import (
    Attempt,
    ControlChange,
    Job,
    KillMode,
    Origin,
    Shadow,
    ShadowPair,
    SpendHour,
    SpendWindow,
    Status,
    heartbeats,
)
from aifeature.models.functions import as_json, database_now, rows
from aifeature.services import controls, dispatch, evaluations, jobs
from aifeature.services.controls import effective, switch
from aifeature.services.execution import job_run
from aifeature.services.jobs.lifecycle import CannotRequeueError
from aifeature.services.monitoring.spikes import rollup
from aifeature.services.privacy import closing, erasure, export, records, retention
from aifeature.services.shadows import driver, report, running
from aifeature.services.shadows.running import CannotStartError
from aifeature.services.spend import reconciler
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.usefixtures("committed", "sandbox", "opened")

TEXT = "Anna paid 30 dollars. She left on Monday because the course was full."
Verdict = ShadowPair.Verdict


def started(user: User, **values: Any) -> Shadow:
    given: dict[str, Any] = {
        "slug": "summarize",
        "version": "v3",
        "percent": 100,
        "daily_budget_usd": Decimal(5),
        "days": 3,
        "reason": "Is v3 as good?",
        "user_id": user.pk,
    }
    return running.start(**{**given, **values})


def run(job: Any) -> Job:
    job_run.run_feature(job, worker="test")
    return Job.objects.get(pk=job)


def asked(user: User) -> Job:
    """A request of the user with its answer."""
    done = run(jobs.submit(user=user, slug="summarize", data={"document": TEXT}).job.pk)
    assert done.status == Status.SUCCEEDED, done.error_message
    return done


def run_copies() -> list[Job]:
    """Run the open jobs of shadows, as the worker of the queue `evals` does."""
    waiting = Job.objects.filter(origin=Origin.SHADOW, status=Status.QUEUED)
    return [run(job) for job in waiting.order_by("created_at").values_list("pk", flat=True)]


def windows(*scopes: str) -> dict[tuple[str, str], int]:
    found = SpendWindow.objects.filter(scope__in=scopes)
    return {(w.scope, w.key): w.spent_micro + w.held_micro for w in found}


def test_a_pair_from_the_answer_to_the_report(ada: User) -> None:
    early = asked(ada)  # before the shadow began
    shadow = started(ada)
    live = asked(ada)
    users = windows("user", "account")
    feature = windows("feature")
    assert Job.objects.count() == 2, "the request itself makes no copy"

    assert driver.drive().result == "Shadows: summarize: 1 requests copied."
    pair = ShadowPair.objects.get()
    assert (pair.job_id, pair.verdict) == (live.pk, Verdict.OPEN)
    assert pair.shadow_job_id not in (early.pk, live.pk)
    heartbeats.alive(rows, "evals-1", queue="evals", slots=2)
    assert dispatch.refill() == 1, "its worker is that of the queue evals"

    (candidate,) = run_copies()
    assert (candidate.status, candidate.prompt_version) == (Status.SUCCEEDED, "v3")
    assert (candidate.input, candidate.charge_micro) == (live.input, 0)
    driver.drive()
    first, second = run_copies()
    assert first.feature == second.feature == "compare"
    assert first.input is not None
    assert second.input == {
        **first.input,
        "first": first.input["second"],
        "second": first.input["first"],
    }
    driver.drive()
    pair.refresh_from_db()
    assert pair.verdict in {Verdict.CANDIDATE, Verdict.TIE, Verdict.LIVE}, pair.problem

    key = f"_shadow:{shadow.pk}"
    spent = sum(call.cost_micro for call in Attempt.objects.filter(budget=key))
    assert spent > 0
    assert windows("user", "account") == users
    assert windows("feature") == {**feature, ("feature", key): spent}
    assert set(Attempt.objects.filter(budget=key).values_list("user", flat=True)) == {None}
    assert reconciler.check().ok
    rollup.roll_up(database_now())
    assert not SpendHour.objects.filter(key__startswith="_").exists()
    assert [job.pk for job in jobs.page(user=ada, limit=9).jobs] == [live.pk, early.pk]
    with pytest.raises(CannotRequeueError):
        jobs.requeue(job_id=candidate.pk)

    found = report.of(shadow)
    assert (found.pairs, found.open, found.spent_micro) == (1, 0, spent)
    assert found.candidate.cost_micro == sum(c.cost_micro for c in candidate.ledger.all())
    assert driver.drive().ok
    assert ShadowPair.objects.count() == 1, "a request is copied once"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"version": "v99"}, "no version v99"),
        ({"version": "v4"}, "the live version"),
        ({"daily_budget_usd": Decimal(0)}, "budget"),
        ({"daily_budget_usd": Decimal("NaN")}, "budget"),
        ({"percent": 0}, "share"),
        ({"days": 31}, "days"),
        ({"reason": " "}, "reason"),
        ({"slug": "compare"}, "no feature"),
        ({"slug": "triage", "version": "v1"}, "not open"),
    ],
)
def test_a_shadow_that_makes_no_sense_is_not_started(
    ada: User, values: dict[str, Any], why: str
) -> None:
    with pytest.raises(CannotStartError, match=why):
        started(ada, **values)
    assert not Shadow.objects.exists()


def test_two_at_once_are_refused_and_a_stop_cancels_open_jobs(ada: User) -> None:
    shadow = started(ada)
    with pytest.raises(CannotStartError, match="is running"):
        started(ada, version="v2")
    asked(ada)
    driver.drive()
    assert running.stop("summarize", reason="Enough.", user_id=ada.pk)
    assert Job.objects.get(origin=Origin.SHADOW).status == Status.CANCELLED
    asked(ada)
    driver.drive()
    pair = ShadowPair.objects.get()
    assert (pair.verdict, pair.problem) == (Verdict.UNJUDGED, "cancelled")
    changes = ControlChange.objects.filter(field=running.FIELD).order_by("id")
    assert [(each.reason, each.user_id) for each in changes] == [
        ("Is v3 as good?", ada.pk),
        ("Enough.", ada.pk),
    ]
    assert not running.stop("summarize", reason="Again.", user_id=ada.pk)
    assert started(ada).pk != shadow.pk


def caps(shadow: Shadow) -> Any:
    """The caps of a call of this shadow. Those that its worker sends do not count."""
    sent = {"feature": 9_000_000, "global": 1_000, "month": None}
    found = rows("aif_caps_of_shadow", as_json({"shadow": shadow.pk}), as_json(sent))
    return json.loads(found[0][0])


def test_a_full_budget_stops_it_and_no_user(ada: User) -> None:
    shadow = started(ada, daily_budget_usd=Decimal("0.01"))
    asked(ada)
    driver.drive()
    key, today = f"_shadow:{shadow.pk}", database_now().date()
    SpendWindow.objects.create(scope="feature", key=key, day=today, spent_micro=9_999)
    (candidate,) = run_copies()
    assert candidate.error_code == "budget_spent", candidate.status
    assert windows("feature")["feature", key] == 9_999
    assert caps(shadow) == {"feature": 10_000, "global": 800, "month": None}
    driver.drive()
    assert ShadowPair.objects.get().problem == "budget_spent"
    assert asked(ada).charge_micro > 0
    assert "the budget of the day is used up" in driver.drive().result
    assert ShadowPair.objects.count() == 1
    running.stop("summarize", reason="Enough.", user_id=ada.pk)
    assert caps(shadow)["feature"] == 0, "no call begins after its end"


@pytest.mark.parametrize("name", ["summarize", "compare", controls.GLOBAL])
def test_a_kill_switch_stops_copies_and_judgements(ada: User, name: str) -> None:
    started(ada)
    asked(ada)
    driver.drive()
    run_copies()
    driver.drive()
    calls = Attempt.objects.filter(purpose="generation").count()
    switch.stop(name, reason="Odd.", mode=KillMode.HOLD, user_id=ada.pk)
    assert [job.status for job in run_copies()] == [Status.QUEUED] * 2
    assert Attempt.objects.filter(purpose="generation").count() == calls
    effective.cache.clear()
    Job.objects.filter(origin=Origin.USER).update(prompt_version="v4")
    assert driver.drive().result.endswith("stopped by a kill switch.")


def test_two_ticks_at_once_make_one_pair(ada: User) -> None:
    started(ada)
    asked(ada)
    begin = threading.Barrier(2)

    def tick() -> None:
        begin.wait()
        driver.drive()
        connections.close_all()

    threads = [threading.Thread(target=tick) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert ShadowPair.objects.count() == 1
    assert Job.objects.filter(origin=Origin.SHADOW).count() == 1


def test_an_erasure_and_retention_reach_the_copies(ada: User, bob: User) -> None:
    said: list[str] = []
    started(bob)
    mine, theirs = asked(ada), asked(bob)
    driver.drive()
    assert len(run_copies()) == 2
    driver.drive()
    open_before = records.find(ada).open_jobs
    assert (open_before, records.find(ada).shadow_pairs) == (2, 1)
    assert '"answered_again"' in "".join(export.document(ada))
    closing.close(ada)
    with pytest.raises(erasure.ErasureError, match="has not ended"):
        erasure.erase(ada, reason="Asked for it.", report=said.append)
    closing.end_jobs(ada, wait_s=5, report=said.append)
    assert erasure.erase(ada, reason="Asked for it.", report=said.append)
    copies = {pair.job_id: pair for pair in ShadowPair.objects.all()}

    def content(pair: ShadowPair) -> list[Job]:
        ids = (pair.shadow_job_id, pair.judge_job_id, pair.second_judge_job_id)
        found = Job.objects.filter(pk__in=[each for each in ids if each])
        calls = Attempt.objects.filter(job__in=found).exclude(output="")
        return [job for job in found if job.input or job.result or calls.exists()]

    assert content(copies[mine.pk]) == []
    assert len(content(copies[theirs.pk])) == 3

    run_copies()
    Job.objects.filter(pk=theirs.pk).update(content_blanked_at=Now(), input=None, result=None)
    assert retention.blank_copies() == 2
    assert content(copies[theirs.pk]) == []
    assert retention.blank_copies() == 0


def test_no_copy_is_made_while_users_wait_or_for_a_closed_account(ada: User, bob: User) -> None:
    started(bob)
    asked(ada)
    closing.close(ada)
    driver.drive()
    assert not ShadowPair.objects.exists()
    asked(bob)
    waiting = jobs.submit(user=bob, slug="summarize", data={"document": TEXT}).job
    Job.objects.filter(pk=waiting.pk).update(run_at=Now() - timedelta(minutes=1))
    assert "jobs of users wait" in driver.drive().result
    run(waiting.pk)
    driver.drive()
    assert {pair.job.user_id for pair in ShadowPair.objects.all()} == {bob.pk}


def test_only_answers_that_compare_are_chosen(ada: User, make_job: MakeJob) -> None:
    started(ada)

    def answer(**values: Any) -> str:
        made = make_job(prompt_version="v4", started_at=Now())
        done = {"status": Status.SUCCEEDED, "result": {"summary": "x"}, "finished_at": Now()}
        Job.objects.filter(pk=made.pk).update(**{**done, **values})
        return str(made.pk)

    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # rows in any state
        options = (None, {"tightened": True}, {"canary": {"arm": "live"}})
        wanted = {answer(options=each) for each in options}
        answer(options={"canary": {"arm": "candidate"}})
        answer(degraded=True)
        answer(approval_expires_at=Now())
        answer(prompt_version="v3")
        answer(finished_at=Now() - 2 * driver.LOOKS_BACK)
        answer(origin=Origin.EVAL)
        answer(status=Status.REJECTED)
        answer(input=None, content_blanked_at=Now())
        cursor.execute("SET session_replication_role = origin")
    driver.drive()
    assert {str(pair.job_id) for pair in ShadowPair.objects.all()} == wanted


def test_it_ends_when_its_days_are_over(ada: User, sandbox: SandboxServer) -> None:
    shadow = started(ada)
    Shadow.objects.update(ends_at=Now() - timedelta(seconds=1))
    driver.drive()
    shadow.refresh_from_db()
    assert (shadow.state, shadow.end_reason) == (Shadow.State.ENDED, "Its days are over.")
    assert evaluations.account().is_active


def test_it_ends_with_its_feature(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deploy removes the feature between the candidate's answer and its judgement."""
    shadow = started(ada)
    asked(ada)
    driver.drive()
    run_copies()
    rest = {slug: each for slug, each in registry.all_features().items() if slug != "summarize"}
    monkeypatch.setattr(registry, "all_features", lambda: rest)
    assert not driver.drive().ok
    assert driver.drive().ok
    shadow.refresh_from_db()
    assert shadow.end_reason == "The feature is no longer in the code."
    assert ShadowPair.objects.get().problem == "ended"


def test_the_command_starts_shows_and_stops_it(ada: User, capsys: Any) -> None:
    User.objects.create_superuser("sam")
    author = ("--user", "sam", "--reason", "Asked for.", "--yes")
    call_command("shadow", "start", "summarize", "v3", "--budget", "2", *author)
    with pytest.raises(CommandError, match="is running"):
        call_command("shadow", "start", "summarize", "v2", "--budget", "2", *author)
    asked(ada)
    call_command("shadow", "show", "summarize")
    call_command("shadow", "stop", "summarize", *author)
    said = capsys.readouterr().out
    assert report.NO_EVIDENCE in said
    assert "No pair is decided yet." in said
    assert Shadow.objects.get().state == Shadow.State.ENDED
