"""Content is deleted when its time is over. Figures, replays and pages stay."""

from __future__ import annotations

import json
import logging
import re
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from aifeature.models import Attempt, Job, SpendWindow, Status
from aifeature.services.controls import effective
from aifeature.services.jobs import lifecycle
from aifeature.services.privacy import retention
from tests.integration.api.api_jobs import bearer
from tests.integration.job_rows import MakeJob, begin, claim
from tests.integration.privacy.retention.conftest import SECRET, EndedJob, call

CONTENT = {"input", "result", "approval_reason", "content_blanked_at"}
CALL_CONTENT = {"request", "output", "error_detail"}


def row_of(model: Any, pk: Any, without: set[str]) -> dict[str, Any]:
    values: dict[str, Any] = model.objects.filter(pk=pk).values().get()
    return {name: value for name, value in values.items() if name not in without}


def everything_stored() -> str:
    """Each row of the tables that hold content, as text."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(string_agg(r, ''), '') FROM (SELECT j::text AS r FROM aifeature_job j"
            " UNION ALL SELECT a::text FROM aifeature_attempt a) rows"
        )
        return str(cursor.fetchone()[0])


def test_content_goes_after_thirty_days_and_every_figure_stays(ended: EndedJob) -> None:
    old, young = ended(days_ago=30.01), ended(days_ago=29.99)
    calls = {job.pk: job.ledger.get().pk for job in (old, young)}
    job_before = row_of(Job, old.pk, CONTENT)
    call_before = row_of(Attempt, calls[old.pk], CALL_CONTENT)
    assert retention.blank_expired() == 1

    old.refresh_from_db()
    assert (old.input, old.result) == (None, None)
    assert old.content_blanked_at is not None
    assert row_of(Job, old.pk, CONTENT) == job_before
    gone = Attempt.objects.get(pk=calls[old.pk])
    assert (gone.request, gone.output, gone.error_detail) == (None, "", "")
    assert row_of(Attempt, gone.pk, CALL_CONTENT) == call_before

    young.refresh_from_db()
    assert young.input == {"document": SECRET}
    assert young.content_blanked_at is None
    assert Attempt.objects.get(pk=calls[young.pk]).output
    assert retention.blank_expired() == 0, "nothing is left to do"


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.REJECTED])
def test_it_goes_however_the_job_ended(ended: EndedJob, status: Status) -> None:
    job = ended(days_ago=31, status=status, error_code="poison")
    assert retention.blank_expired() == 1
    job.refresh_from_db()
    assert (job.input, job.result, job.error_code) == (None, None, "poison")
    assert SECRET not in everything_stored()


def test_a_job_that_has_not_ended_keeps_its_content_however_old(make_job: MakeJob) -> None:
    long_ago = timezone.now() - timedelta(days=400)
    waiting = make_job(created_at=long_ago)
    running = claim(make_job(created_at=long_ago))
    in_review = make_job(status="needs_approval", created_at=long_ago, result={"summary": "x"})
    begin(running)
    assert retention.blank_expired(days=lambda _: 0) == 0
    assert not Job.objects.filter(input=None).exists()
    assert Attempt.objects.get().request is not None
    in_review.refresh_from_db()
    assert in_review.result
    assert waiting.input


def test_an_operator_sets_how_long_content_is_kept(ended: EndedJob) -> None:
    job = ended(days_ago=8)
    assert retention.blank_expired() == 0
    effective.change("summarize", {"retention_days": 7}, reason="Policy.", check_name="test")
    assert retention.blank_expired() == 1
    job.refresh_from_db()
    assert job.input is None


def test_each_feature_goes_by_its_own_days_also_one_that_left_the_code(ended: EndedJob) -> None:
    mine, gone = ended(days_ago=40), ended(days_ago=40, feature="retired")
    kept = ended(days_ago=29, feature="retired")
    effective.change("summarize", {"retention_days": 90}, reason="Policy.", check_name="test")
    assert retention.blank_expired() == 1
    left = set(Job.objects.filter(content_blanked_at=None).values_list("pk", flat=True))
    assert left == {mine.pk, kept.pk}
    assert Job.objects.get(pk=gone.pk).input is None


def test_batches_are_logged(ended: EndedJob, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(7):
        ended(days_ago=31 + number)
    caplog.set_level(logging.INFO, logger="aifeature.services.privacy.retention")
    assert retention.blank_expired(batch=3) == 7
    messages = [
        r.getMessage() for r in caplog.records if r.name == "aifeature.services.privacy.retention"
    ]
    assert [text.split(": ")[2] for text in messages] == [
        f"{done} jobs older than 30 days blanked" for done in (3, 6, 7)
    ]
    assert SECRET not in everything_stored()


class BrokenOffError(Exception):
    pass


@pytest.mark.usefixtures("committed")
def test_a_batch_that_was_done_stays_done_when_the_run_is_broken_off(ended: EndedJob) -> None:
    for number in range(4):
        ended(days_ago=31 + number)

    def days(slug: str) -> int:
        if slug == "z_later":
            raise BrokenOffError
        return 30

    ended(days_ago=31, feature="z_later")
    with pytest.raises(BrokenOffError):
        retention.blank_expired(days=days, batch=2)
    connection.close()
    assert Job.objects.filter(feature="summarize", content_blanked_at=None).count() == 0
    assert retention.blank_expired() == 1


def test_only_the_first_tick_of_a_day_does_it(ended: EndedJob) -> None:
    ended(days_ago=31)
    assert retention.run_daily() == 1
    ended(days_ago=31)
    assert retention.run_daily() == 0


def test_a_run_reads_only_what_it_blanks(ended: EndedJob) -> None:
    """However much was blanked before, and however much is not due yet."""
    job = ended(days_ago=50)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO aifeature_job (id, user_id, feature, status, deadline_at, finished_at,"
            " content_blanked_at) SELECT gen_random_uuid(), %s, 'summarize', 'succeeded', now(),"
            " now() - n * interval '1 minute', CASE WHEN n > 10000 THEN now() END"
            " FROM generate_series(1, 60000) n",
            [job.user_id],
        )
        cursor.execute("ANALYZE aifeature_job")
        cursor.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) SELECT id FROM aifeature_job WHERE feature ="
            " 'summarize' AND content_blanked_at IS NULL"
            " AND finished_at < statement_timestamp() - make_interval(days => 30)"
            " ORDER BY finished_at LIMIT 500 FOR UPDATE SKIP LOCKED"
        )
        plan = json.dumps(cursor.fetchone()[0])
        assert "job_with_content" in plan
        assert set(re.findall(r'"Rows Removed by Filter": (\d+)', plan)) == {"0"}
        assert '"Actual Rows": 1.0' in plan
        cursor.execute("SELECT prosrc FROM pg_proc WHERE proname = 'aif_features_with_content'")
        cursor.execute("EXPLAIN (FORMAT JSON) " + cursor.fetchone()[0])
        plan = json.dumps(cursor.fetchone()[0])
    assert plan.count("job_with_content") == 2
    assert "Seq Scan" not in plan


@pytest.fixture
def blanked(ended: EndedJob, opened: None) -> Job:
    job = ended(days_ago=31, idempotency_key="k", worker="w")
    retention.blank_expired()
    job.refresh_from_db()
    return job


def test_the_api_and_the_stream_of_a_job_without_content(ada: User, blanked: Job) -> None:
    body = bearer(ada).get(f"/api/v1/jobs/{blanked.pk}").json()
    assert body["result"] is None
    assert (body["status"], body["error"]["code"]) == ("succeeded", "content_deleted")
    assert body["error"]["message"].startswith("Its text was deleted on ")
    assert body["usage"]["input_tokens"] == 11
    assert body["cost_usd"] == "0.000042"
    (listed,) = bearer(ada).get("/api/v1/jobs").json()["items"]
    assert listed == body
    assert bearer(ada).get(f"/api/v1/jobs/{blanked.pk}/events").status_code == 200


def test_the_same_key_still_leads_to_the_job(ada: User, opened: None) -> None:
    first = lifecycle.submit(user=ada, slug="summarize", data={"document": SECRET}, key="k").job
    lifecycle.cancel(user=ada, job_id=first.pk)
    assert retention.blank_expired(days=lambda _: 0) == 1
    again = lifecycle.submit(user=ada, slug="summarize", data={"document": SECRET}, key="k")
    assert again.replayed
    assert again.job.pk == first.pk
    assert again.job.input is None


def test_pages_show_how_long_it_was_kept(client: Client, ada: User, blanked: Job) -> None:
    client.force_login(ada)
    sentence = retention.deletion_notice(blanked)
    assert sentence.startswith("Its text was deleted on ")
    assert sentence.endswith(", 31 days after it ended.")
    page = client.get(f"/jobs/{blanked.pk}/").text
    assert page.count(sentence) == 2, "where the answer stood, and where the question stood"
    assert "Here is your answer" not in page
    assert "Change and send again" not in page
    assert sentence in client.get("/jobs/").text
    assert client.get("/jobs/?q=secret").status_code == 200
    assert client.get(f"/f/summarize/?from={blanked.pk}").status_code == 200


def test_a_failure_keeps_its_reason(client: Client, ada: User, ended: EndedJob) -> None:
    job = ended(days_ago=31, status=Status.FAILED, result=None, error_message="We stopped.")
    retention.blank_expired()
    client.force_login(ada)
    page = client.get(f"/jobs/{job.pk}/").text
    assert "We stopped." in page
    assert "Its text was deleted on " in page


def test_admin_shows_what_is_left(client: Client, blanked: Job) -> None:
    client.force_login(User.objects.create_superuser("boss"))
    page = client.get(f"/admin/aifeature/job/{blanked.pk}/change/")
    assert page.status_code == 200
    assert page.text.count(retention.deletion_notice(blanked)) == 3
    assert "The content of this call is not stored." in page.text
    call_page = client.get(f"/admin/aifeature/attempt/{blanked.ledger.get().pk}/change/")
    assert call_page.status_code == 200


@pytest.mark.usefixtures("committed")
def test_two_runs_share_the_work(ended: EndedJob) -> None:
    held, free = ended(days_ago=40), ended(days_ago=35)
    other: psycopg.Connection[Any]
    with transaction.atomic():
        Job.objects.select_for_update().get(pk=held.pk)
        with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
            other.execute("SET lock_timeout = '5s'")
            done = other.execute("SELECT aif_blank_expired('summarize', 30, 500)").fetchone()
    assert done == (1,)
    assert Job.objects.get(pk=free.pk).input is None
    assert Job.objects.get(pk=held.pk).input is not None
    assert retention.blank_expired() == 1


def test_the_ledger_and_its_windows_are_the_same_before_and_after(ended: EndedJob) -> None:
    job = ended(days_ago=31)
    call(job, state="unknown", cost_micro=0, output="")
    windows = list(SpendWindow.objects.order_by("pk").values())
    sums = list(Attempt.objects.order_by("pk").values_list("cost_micro", "bound_micro", "state"))
    assert retention.blank_expired() == 1
    assert list(SpendWindow.objects.order_by("pk").values()) == windows
    after = Attempt.objects.order_by("pk").values_list("cost_micro", "bound_micro", "state")
    assert list(after) == sums
