"""Each step of the tour is ticked by what was done since its beginning, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from aifeature.models import (
    AttemptState,
    ControlChange,
    DemoData,
    Feedback,
    KillMode,
    Status,
)
from aifeature.services.controls import switch
from aifeature.services.promotion import RefusedError, activations
from project.tour import progress, steps
from tests.browser import scenes
from tests.integration.job_rows import MakeCall, database_time

pytestmark = pytest.mark.usefixtures("opened")

TOUR = "/tour/"
STEPS = [step.slug for step in steps.STEPS]


@pytest.fixture
def sam(db: None) -> User:
    joined = database_time() - timedelta(minutes=5)
    return User.objects.create_user("sam", is_staff=True, is_superuser=True, date_joined=joined)


@pytest.fixture
def staff(client: Client, sam: User) -> Client:
    client.force_login(sam)
    return client


def ticked(client: Client) -> list[str]:
    """Return the slugs of the ticked steps, as the page shows them."""
    rows = client.get(TOUR).context["steps"]
    return [row["step"].slug for row in rows if row["is_done"]]


def stop(user: User) -> None:
    switch.stop("summarize", reason="r", mode=KillMode.HOLD, user_id=user.pk)


def refuse(**by: int | str) -> None:
    with pytest.raises(RefusedError):
        activations.activate("summarize", "v1", reason="r", **by)  # type: ignore[arg-type]


def test_steps_are_ticked_as_they_are_done(
    staff: Client, sam: User, ada: User, make_call: MakeCall
) -> None:
    assert ticked(staff) == []

    scenes.job(ada, Status.SUCCEEDED)  # of the panel's crowd: without a key
    scenes.job(ada, Status.SUCCEEDED, degraded=True)
    scenes.job(ada, Status.SUCCEEDED, degraded=True, idempotency_key="demo:1")
    ControlChange.objects.create(
        feature="summarize", field="killed", old="False", new="True", reason="r", check_name="spike"
    )
    refuse(check_name="test")
    make_call(AttemptState.SETTLED)
    assert ticked(staff) == [], "none of it was done by a person in the tour"

    job = scenes.job(ada, Status.SUCCEEDED, idempotency_key="web:1", model="second")
    assert ticked(staff) == ["submit"]
    make_call(AttemptState.FAILED)
    assert ticked(staff) == ["submit", "break"]
    make_call(AttemptState.FAILED, job=job, user=ada, model="first")
    stop(sam)
    switch.release("summarize", reason="r", percent=100, user_id=sam.pk)
    Feedback.objects.create(
        job=job, user=ada, feature="summarize", rating=1, first_rating=1, answer={}
    )
    refuse(user_id=sam.pk)
    assert ticked(staff) == [step for step in STEPS if step != "audit"]
    opened = staff.post(f"{TOUR}audit/")
    assert (opened.status_code, opened["Location"]) == (303, "/admin/aifeature/controlchange/")
    assert ticked(staff) == STEPS
    assert "8 of 8" in staff.get(TOUR).text

    staff.post(f"{TOUR}again/")
    assert ticked(staff) == []
    stop(sam)
    assert ticked(staff) == ["stop"]


def test_rows_from_before_the_tour_tick_nothing(staff: Client, sam: User) -> None:
    stop(sam)
    staff.post(f"{TOUR}audit/")
    assert ticked(staff) == ["stop", "audit"]
    DemoData.objects.create(ended_loading_at=database_time() + timedelta(seconds=1))
    assert ticked(staff) == [], "a cookie of the time before is ignored, too"


def test_a_forged_cookie_is_ignored(staff: Client) -> None:
    staff.cookies[progress.COOKIE] = "eyJzaW5jZSI6MX0:x:y"
    assert ticked(staff) == []


def test_a_poll_writes_nothing_and_returns_only_news(staff: Client, sam: User) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert staff.get(f"{TOUR}?part&seen=").status_code == 204
    assert not [q for q in queries if q["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
    stop(sam)
    part = staff.get(f"{TOUR}?part&seen=")
    assert "<html" not in part.text
    assert "1 of 8 steps are done." in part.text
    assert staff.get(f"{TOUR}?part&seen=stop").status_code == 204


def test_each_link_leads_to_a_page(staff: Client) -> None:
    for row in staff.get(TOUR).context["steps"]:
        assert staff.get(row["link"].url).status_code == 200, row["step"].slug


def test_a_user_learns_which_steps_need_staff(client: Client, ada: User) -> None:
    assert client.get(TOUR).status_code == 302
    client.force_login(ada)
    page = client.get(TOUR)
    assert [row["step"].slug for row in page.context["steps"] if row["may"]] == [
        *("submit", "fallback", "rate")
    ]
    assert page.text.count("Sign in as staff</button>") == 5
    refused: list[Callable[[], int]] = [
        lambda: client.post(f"{TOUR}audit/").status_code,
        lambda: client.post(f"{TOUR}submit/").status_code,
        lambda: client.post(f"{TOUR}nothing/").status_code,
    ]
    assert [each() for each in refused] == [404, 404, 404]
    back = {"next": f"/accounts/login/?next={TOUR}"}
    assert client.post("/accounts/logout/", back)["Location"] == back["next"]
