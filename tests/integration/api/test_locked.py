"""A request waits briefly for a locked row, and then gets a 503 with Retry-After."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature.models import Job
from tests import proof
from tests.integration.api.api_jobs import bearer, job, problem, submit
from tests.integration.execution.keeper.conftest import locked

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def client(ada: User, opened: None) -> Client:
    return bearer(ada)


def test_a_job_whose_row_is_locked_is_cancelled_later(client: Client, ada: User) -> None:
    row = job(ada)
    with locked("SELECT 1 FROM aifeature_job WHERE id = %s FOR UPDATE", row.pk):
        response = client.post(f"/api/v1/jobs/{row.pk}/cancel")
    problem(response, 503, "database_unavailable")
    assert int(response["Retry-After"]) > 0
    assert Job.objects.get().cancel_requested_at is None
    assert client.post(f"/api/v1/jobs/{row.pk}/cancel").json()["status"] == "cancelled"


def test_a_submission_that_a_lock_keeps_out_takes_no_request(client: Client, ada: User) -> None:
    proof.open_to_users("summarize", requests_per_minute=1)
    with locked("SELECT 1 FROM auth_user WHERE id = %s FOR UPDATE", ada.pk):
        response = submit(client)
    problem(response, 503, "database_unavailable")
    assert int(response["Retry-After"]) > 0
    assert not Job.objects.exists()
    assert submit(client).status_code == 202
