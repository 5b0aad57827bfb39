"""The list of jobs takes a fixed number of queries, and offers only to cancel."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from aifeature.models import Job, Origin, Status
from tests.integration.admin.conftest import MakeAttempt, MakeJob, Staff

LIST = "/admin/aifeature/job/"
CALLS = "/admin/aifeature/attempt/"


def queries_of(page: Client, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert page.get(address).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


@pytest.mark.parametrize("address", [LIST, f"{LIST}?q=cust", f"{LIST}?feature=summarize"])
def test_a_list_takes_few_queries(page: Client, make_job: MakeJob, address: str) -> None:
    make_job()
    one = queries_of(page, address)
    for _ in range(29):
        make_job()
    thirty = queries_of(page, address)
    assert len(thirty) == len(one)
    assert not [sql for sql in thirty if "COUNT(" in sql and "aifeature_job" in sql]
    assert not [sql for sql in thirty if '"aifeature_job"."input"' in sql]


def test_a_page_takes_few_queries(
    page: Client, make_job: MakeJob, make_attempt: MakeAttempt
) -> None:
    job = make_job()
    make_attempt(job)
    address = reverse("admin:aifeature_job_change", args=(job.pk,))
    queries_of(page, address)  # the first visit of all also reads what Django then remembers
    one = queries_of(page, address)
    for number in range(2, 11):
        make_attempt(job, number=number)
    assert len(queries_of(page, address)) == len(one)


def test_a_page_shows_all_figures(
    page: Client, make_job: MakeJob, make_attempt: MakeAttempt
) -> None:
    job = make_job(status=Status.SUCCEEDED, result={"summary": "Two."}, charge_micro=1_250)
    attempt = make_attempt(job)
    text = page.get(reverse("admin:aifeature_job_change", args=(job.pk,))).text
    assert "&lt;script&gt;alert(" in text
    assert "$0.001250" in text
    assert reverse("admin:aifeature_attempt_change", args=(attempt.pk,)) in text
    assert f"{job.created_at:%Y-%m-%d %H:%M:%S} UTC" in text


def test_a_search_finds_ids_and_beginnings_of_names(page: Client, make_job: MakeJob) -> None:
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


def test_an_action_cancels_only_open_jobs(page: Client, make_job: MakeJob) -> None:
    waiting, ended = make_job(), make_job(status=Status.SUCCEEDED)
    cancel(page, waiting, ended)
    waiting.refresh_from_db()
    ended.refresh_from_db()
    assert waiting.status == Status.CANCELLED
    assert ended.status == Status.SUCCEEDED
    assert LogEntry.objects.get().object_id == str(waiting.pk)


def test_cancelling_needs_the_permission(staff: Staff, make_job: MakeJob) -> None:
    job = make_job()
    cancel(staff("view_job"), job)
    job.refresh_from_db()
    assert job.status == Status.QUEUED
    cancel(staff("view_job", "change_job"), job)
    job.refresh_from_db()
    assert job.status == Status.CANCELLED


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", {"user"}),
        ("?status__exact=queued", {"user"}),
        ("?origin=eval", {"eval"}),
        ("?origin=all", {"user", "eval"}),
        ("?q=cust", {"user", "eval"}),
        ("?q=cust&origin=user", {"user"}),
    ],
)
def test_the_list_shows_users_jobs_unless_others_are_chosen_or_searched(
    page: Client, make_job: MakeJob, query: str, shown: set[str]
) -> None:
    """So its counts are those of the overview, which links to it."""
    make_job()
    make_job(origin=Origin.EVAL)
    rows = page.get(f"{LIST}{query}").context["cl"].result_list
    assert {job.origin for job in rows} == shown


def test_the_page_of_a_job_of_an_evaluation_names_its_origin(
    page: Client, make_job: MakeJob
) -> None:
    notes = [
        "in no figure about users"
        in page.get(reverse("admin:aifeature_job_change", args=(make_job(origin=each).pk,))).text
        for each in (Origin.USER, Origin.EVAL)
    ]
    assert notes == [False, True]


@pytest.mark.parametrize(
    ("query", "budgets"), [("", {"", "_evals"}), ("users", {""}), ("evals", {"_evals"})]
)
def test_the_ledger_lists_all_calls_or_those_of_one_payer(
    page: Client, make_job: MakeJob, make_attempt: MakeAttempt, query: str, budgets: set[str]
) -> None:
    make_attempt(make_job())
    make_attempt(make_job(origin=Origin.EVAL), budget="_evals", user=None)
    rows = page.get(f"{CALLS}?paid_by={query}").context["cl"].result_list
    assert {call.budget for call in rows} == budgets
