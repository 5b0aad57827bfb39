"""The jobs screen: fast however many rows, and cancelling is all one can do."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from aifeature.models import Attempt, Job, Status

LIST = "/admin/aifeature/job/"


def queries_of(page: Client, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert page.get(address).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


@pytest.mark.parametrize("address", [LIST, f"{LIST}?q=cust", f"{LIST}?feature=summarize"])
def test_the_list_takes_as_many_queries_for_thirty_jobs_as_for_one(
    page: Client, make_job: Callable[..., Job], address: str
) -> None:
    make_job()
    one = queries_of(page, address)
    for _ in range(29):
        make_job()
    thirty = queries_of(page, address)
    assert len(thirty) == len(one)
    assert not [sql for sql in thirty if "COUNT(" in sql and "aifeature_job" in sql]
    assert not [sql for sql in thirty if '"aifeature_job"."input"' in sql]


def test_the_detail_page_takes_as_many_queries_for_ten_attempts_as_for_one(
    page: Client, make_job: Callable[..., Job], make_attempt: Callable[..., Attempt]
) -> None:
    job = make_job()
    make_attempt(job)
    address = reverse("admin:aifeature_job_change", args=(job.pk,))
    queries_of(page, address)  # the first visit of all also reads what Django then remembers
    one = queries_of(page, address)
    for number in range(2, 11):
        make_attempt(job, number=number)
    assert len(queries_of(page, address)) == len(one)


def test_the_detail_page_shows_content_money_and_a_link_to_each_attempt(
    page: Client, make_job: Callable[..., Job], make_attempt: Callable[..., Attempt]
) -> None:
    job = make_job(status=Status.SUCCEEDED, result={"summary": "Two."}, charge_micro=1_250)
    attempt = make_attempt(job)
    text = page.get(reverse("admin:aifeature_job_change", args=(job.pk,))).text
    assert "&lt;script&gt;alert(" in text
    assert "$0.001250" in text
    assert reverse("admin:aifeature_attempt_change", args=(attempt.pk,)) in text
    assert f"{job.created_at:%Y-%m-%d %H:%M:%S} UTC" in text


def test_a_search_finds_by_id_and_by_the_beginning_of_a_user_name(
    page: Client, make_job: Callable[..., Job]
) -> None:
    wanted, other = make_job(), make_job()
    by_id = page.get(LIST, {"q": str(wanted.pk)}).text
    assert str(wanted.pk) in by_id
    assert str(other.pk) not in by_id
    assert str(other.pk) in page.get(LIST, {"q": "CUSTOM"}).text
    assert str(other.pk) not in page.get(LIST, {"q": "nobody"}).text
    assert str(other.pk) not in page.get(LIST, {"q": str(uuid4())}).text


def cancel(page: Client, *jobs: Job) -> None:
    data = {"action": "cancel_selected", "_selected_action": [str(job.pk) for job in jobs]}
    page.post(LIST, data)


def test_cancelling_ends_what_waits_and_leaves_what_ended(
    page: Client, make_job: Callable[..., Job]
) -> None:
    waiting, ended = make_job(), make_job(status=Status.SUCCEEDED)
    cancel(page, waiting, ended)
    waiting.refresh_from_db()
    ended.refresh_from_db()
    assert waiting.status == Status.CANCELLED
    assert ended.status == Status.SUCCEEDED
    assert LogEntry.objects.get().object_id == str(waiting.pk)


def test_cancelling_needs_the_permission(
    staff: Callable[..., Client], make_job: Callable[..., Job]
) -> None:
    job = make_job()
    cancel(staff("view_job"), job)
    job.refresh_from_db()
    assert job.status == Status.QUEUED
    cancel(staff("view_job", "change_job"), job)
    job.refresh_from_db()
    assert job.status == Status.CANCELLED
