"""Requeueing failed jobs from admin needs a permission and a reason, and is logged."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from aifeature.models import Job, Status
from aifeature.services.controls import effective
from tests import proof
from tests.integration.admin.conftest import MakeJob, Staff

LIST = "/admin/aifeature/job/"
FORM = {"_form_submitted": "on", "reason": "The provider is back."}


@pytest.fixture
def failed(make_job: MakeJob) -> Job:
    proof.open_to_users("summarize")
    return make_job(status=Status.FAILED, error_code="poison")


def page_of(job: Job) -> str:
    return reverse("admin:aifeature_job_change", args=(job.pk,))


def button_of(job: Job) -> str:
    return f"{LIST}{job.pk}/requeue/"


def select(page: Client, *jobs: Job) -> str:
    """Requeue them from the list. Returns the page that follows."""
    data = {"action": "requeue_selected", "_selected_action": [str(job.pk) for job in jobs]}
    return page.post(LIST, data, follow=True).text


def test_a_requeued_job_and_its_copy_are_linked(staff: Staff, failed: Job) -> None:
    page = staff("view_job", "requeue_job")
    assert button_of(failed) in page.get(page_of(failed)).text
    assert "Run this input again" in page.get(button_of(failed)).text
    assert page.post(button_of(failed), {**FORM, "reason": " "}).status_code == 200
    assert Job.objects.count() == 1
    answer = page.post(button_of(failed), FORM)
    new = Job.objects.get(requeued_from=failed)
    assert answer["HX-Redirect"] == page_of(new)
    assert page_of(failed) in page.get(page_of(new)).text
    assert page_of(new) in page.get(page_of(failed)).text
    messages = {entry.object_id: entry.get_change_message() for entry in LogEntry.objects.all()}
    assert messages == {
        str(failed.pk): f"Requeued as job {new.pk}: The provider is back.",
        str(new.pk): f"Requeued from job {failed.pk}: The provider is back.",
    }


def test_requeueing_has_a_permission_of_its_own(staff: Staff, failed: Job) -> None:
    page = staff("view_job", "change_job", "add_job", "delete_job")
    assert button_of(failed) not in page.get(page_of(failed)).text
    assert page.post(button_of(failed), FORM).status_code == 403
    select(page, failed)
    assert Job.objects.count() == 1


def test_a_refusal_is_explained(page: Client, failed: Job) -> None:
    effective.change("summarize", {"killed": True}, reason="r", check_name="test")
    answer = page.post(button_of(failed), FORM)
    assert answer["HX-Redirect"] == page_of(failed)
    assert "Not requeued. Its feature is stopped by a kill switch" in page.get(page_of(failed)).text
    assert Job.objects.count() == 1
    assert not LogEntry.objects.exists()


def test_a_job_that_did_not_fail_has_no_button(page: Client, make_job: MakeJob) -> None:
    for job in (make_job(), make_job(status=Status.SUCCEEDED)):
        assert button_of(job) not in page.get(page_of(job)).text


def test_many_jobs_are_requeued_at_once(page: Client, failed: Job, make_job: MakeJob) -> None:
    another, fine = make_job(status=Status.FAILED), make_job(status=Status.SUCCEEDED)
    blank = make_job(status=Status.FAILED, input=None)
    text = select(page, failed, another, fine, blank)
    assert "2 requeued as new jobs." in text
    assert "1 not requeued: Only a job that failed is requeued; this one is succeeded." in text
    assert "1 not requeued: Its content was blanked" in text
    requeued = Job.objects.exclude(requeued_from=None).values_list("requeued_from", flat=True)
    assert set(requeued) == {failed.pk, another.pk}
    assert LogEntry.objects.count() == 4


def test_a_closed_account_is_skipped(
    page: Client, failed: Job, make_job: MakeJob, bob: User
) -> None:
    others = make_job(status=Status.FAILED, user=bob)
    User.objects.filter(pk=failed.user_id).update(is_active=False)
    text = select(page, failed, others)
    assert "1 requeued as new jobs." in text
    assert "1 not requeued: The account of its user is closed." in text


def test_requeueing_what_is_not_there_is_not_found(page: Client) -> None:
    missing = f"{LIST}4f6c1c1e-0000-4000-8000-000000000000/requeue/"
    assert page.post(missing, FORM).status_code == 404
