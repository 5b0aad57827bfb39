"""Four visitors, and a row of each kind."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Model
from django.db.models.functions import Now
from django.test import Client
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from aifeature.models import (
    AccessBlock,
    Alert,
    ApiToken,
    Attempt,
    AttemptState,
    CheckRun,
    ControlChange,
    FeatureControl,
    Feedback,
    Job,
    ModelControl,
    RateOverride,
    SpendWindow,
    Status,
    WebFailure,
    Worker,
)
from evals.models import Run
from tests.integration.fuzz.asgi import Site
from tests.integration.job_rows import CALL, make_launch
from tests.unit.evals.test_report import a_run, case

CSRF = "c" * 32
VISITORS = ("anonymous", "user", "viewer", "boss")

Header = tuple[bytes, bytes]
Visitors = dict[str, list[Header]]


@pytest.fixture
def site(db: None) -> Site:
    return Site()


@pytest.fixture
def visitors(db: None) -> Visitors:
    """The headers of each visitor: session and CSRF token."""
    found = {"anonymous": _headers(None)}
    ada = User.objects.create_user("ada")
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    boss = User.objects.create_superuser("boss")
    for name, user in (("user", ada), ("viewer", viewer), ("boss", boss)):
        client = Client()
        client.force_login(user)
        found[name] = _headers(client.cookies[django_settings.SESSION_COOKIE_NAME].value)
    return found


def _headers(session: str | None) -> list[Header]:
    cookies = [f"{django_settings.CSRF_COOKIE_NAME}={CSRF}"]
    if session:
        cookies.append(f"{django_settings.SESSION_COOKIE_NAME}={session}")
    return [(b"cookie", "; ".join(cookies).encode()), (b"x-csrftoken", CSRF.encode())]


@pytest.fixture
def rows(visitors: Visitors, opened: None) -> list[Model]:
    """One of each kind. No worker has ever reported, so that submissions are accepted."""
    ada, boss = User.objects.get(username="ada"), User.objects.get(username="boss")
    customer = User.objects.create_user("customer")
    now = datetime.now(UTC)
    job = {"feature": "summarize", "deadline_at": now, "input": {"document": "text"}}
    ended = {"user": ada, "finished_at": now, **job}
    result = {"summary": "s", "key_facts": []}
    done = Job.objects.create(status=Status.SUCCEEDED, result=result, **ended)
    failed = Job.objects.create(
        status=Status.FAILED, error_code="provider_refused", error_message="No.", **ended
    )
    money = {"state": AttemptState.UNKNOWN, "cost_micro": 1_250, "bound_micro": 99_000}
    days = {"day": now.date(), "ended_at": now}
    call = Attempt.objects.create(
        **{**CALL, **money, **days},
        job=done,
        user=ada,
        feature="summarize",
        request={"system": "s"},
        output="o",
    )
    every = IntervalSchedule.objects.create(every=1, period="minutes")
    return [
        *(done, failed, Job.objects.create(user=customer, **job), call, every, customer),
        *_controls(boss, customer),
        Worker.objects.create(name="evals@host", queue="evals", slots=4, seen_at=Now()),
        ApiToken.issue(user_id=customer.pk, name="ci")[0],
        Group.objects.create(name="on-call"),
        CrontabSchedule.objects.create(),
        ClockedSchedule.objects.create(clocked_time=now),
        SolarSchedule.objects.create(event="dawn_astronomical", latitude=1, longitude=1),
        PeriodicTask.objects.create(name="tick", task="control.sweep", interval=every),
        Feedback.objects.create(
            user=ada, job=done, feature="summarize", rating=1, first_rating=1, reasons=["clear"]
        ),
    ]


def _controls(boss: User, customer: User) -> list[Model]:
    return [
        SpendWindow.objects.create(scope="global", key="", day="2026-11-01", spent_micro=5),
        FeatureControl.objects.get(feature="summarize"),
        ControlChange.objects.create(feature="_everything", field="killed", reason="r", user=boss),
        WebFailure.objects.create(reference="W-0123456789", status=500, code="KeyError"),
        Alert.objects.create(kind="drift", subject="global", summary="s", figures={"a_micro": 5}),
        CheckRun.objects.create(name="t", began_at=Now(), ended_at=Now(), ok=True, result="r"),
        ModelControl.objects.get_or_create(model="claude-haiku-5-5")[0],
        RateOverride.objects.create(user=customer, in_flight=1, reason="r", created_by=boss),
        AccessBlock.objects.create(  # over, so that the customer may still send requests
            user=customer, reason="r", created_by=boss, expires_at=Now()
        ),
        make_launch(),
        _run(),
    ]


def _run() -> Run:
    run = a_run(case("one"))
    run.save()
    return run
