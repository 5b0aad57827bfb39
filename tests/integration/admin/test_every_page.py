"""Every admin page opens for a superuser only, or with its permission."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.db.models.functions import Now
from django.test import Client, RequestFactory, override_settings
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from aifeature.models import (
    AccessBlock,
    Alert,
    AlertChannel,
    ApiToken,
    Attempt,
    Canary,
    CheckRun,
    ControlChange,
    Delivery,
    FeatureControl,
    Feedback,
    GuardEvent,
    Job,
    ModelControl,
    ProviderAccount,
    RateOverride,
    RefusedSubmissions,
    Shadow,
    Silence,
    SpendWindow,
    WebFailure,
    Worker,
)
from evals.models import Run, WeeklyRun
from project.admin_site import environment, navigation
from tests.canary_rows import started
from tests.integration.admin.conftest import PROMPT, MakeAttempt, MakeJob, Staff
from tests.integration.job_rows import make_launch
from tests.unit.evals.test_report import a_run, case

pytestmark = pytest.mark.slow

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
NO_ADD = {
    *(Job, Attempt, SpendWindow, FeatureControl, ControlChange, Worker),
    *(Alert, CheckRun, ModelControl, ProviderAccount, WebFailure, Run),
    WeeklyRun,
    GuardEvent,
    Canary,
    Feedback,
    RefusedSubmissions,
    Delivery,
    Silence,
}
EDIT_NEVER = [
    *(Job, Attempt, SpendWindow, ControlChange, ApiToken, Alert, CheckRun, ModelControl),
    *(ProviderAccount, WebFailure, Run, WeeklyRun, GuardEvent, Canary, Feedback, Shadow),
    *(RefusedSubmissions, Delivery, Silence),
]


def url(model: type[Model], what: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{what}", args=args)


@pytest.fixture
def rows(make_job: MakeJob, make_attempt: MakeAttempt, boss: User, customer: User) -> list[Model]:
    """One row of each model that has something particular to show."""
    job = make_job(result={"summary": "x"})
    run = a_run(case("one"))
    run.save()
    alert = Alert.objects.create(kind="drift", subject="global", summary="s", figures={"a": 5})
    channel = AlertChannel.objects.create(name="pager", kind="webhook", address="x", shown="x")
    every = IntervalSchedule.objects.create(every=1, period="minutes")
    return [
        job,
        make_attempt(job),
        SpendWindow.objects.create(scope="global", key="", day="2026-11-01", spent_micro=5),
        started(boss),
        FeatureControl.objects.get(feature="summarize"),
        ControlChange.objects.create(feature="_everything", field="killed", reason="r", user=boss),
        GuardEvent.objects.create(
            user=customer,
            job=job,
            feature="summarize",
            stage="input",
            guard="injection",
            category="override",
            action="tightened",
            evidence=PROMPT,
        ),
        Feedback.objects.create(
            user=customer,
            job=job,
            feature="summarize",
            rating=-1,
            first_rating=-1,
            reasons=["wrong"],
            comment="<script>alert('a comment')</script>",
            answer={"summary": PROMPT},
        ),
        Worker.objects.create(name="llm@host", slots=4, seen_at=Now()),
        ApiToken.issue(user_id=customer.pk, name="ci")[0],
        alert,
        channel,
        Delivery.objects.create(channel=channel, alert=alert, event="begin", state="given_up"),
        Silence.objects.create(kind="drift", subject="global", until=Now(), reason="<script>"),
        CheckRun.objects.create(name="t", began_at=Now(), ended_at=Now(), ok=True, result="r"),
        ModelControl.objects.create(model="claude-haiku-5-5"),
        WebFailure.objects.create(reference="W-0123456789", status=500, code="KeyError"),
        ProviderAccount.objects.create(account="sandbox, key 0", stopped_at=Now(), code="x"),
        AccessBlock.objects.create(user=customer, reason="r", created_by=boss),
        RateOverride.objects.create(user=customer, in_flight=1, reason="r", created_by=boss),
        RefusedSubmissions.objects.create(
            user=customer, feature="summarize", day="2026-11-01", kind="rate_limited", count=2
        ),
        Shadow.objects.create(
            feature="summarize",
            version="v3",
            live_version="v4",
            percent=5,
            daily_budget_usd=1,
            reason="<script>alert('a reason')</script>",
            ends_at=Now(),
        ),
        make_launch(),
        run,
        WeeklyRun.objects.create(feature="triage", version="v1", run=run, note="Under way."),
        Group.objects.create(name="on-call"),
        customer,
        every,
        CrontabSchedule.objects.create(),
        PeriodicTask.objects.create(name="tick", task="t", interval=every),
    ]


@pytest.mark.parametrize("model", MODELS)
def test_the_list_answers(page: Client, rows: list[Model], model: type[Model]) -> None:
    response = page.get(url(model, "changelist"))
    assert response.status_code == 200
    assert "secret in the prompt" not in response.text


def test_each_detail_page_answers_and_escapes(page: Client, rows: list[Model]) -> None:
    for row in rows:
        response = page.get(url(type(row), "change", row.pk))
        assert response.status_code == 200, row
        assert "<script>alert(&#x27;" not in response.text
        assert "<script>alert('a" not in response.text
        assert not re.search(r"\(&#x27;[^,()]*&#x27;, ", response.text), "the page shows a tuple"


@pytest.mark.parametrize("model", [model for model in MODELS if model not in NO_ADD])
def test_the_add_page_answers(page: Client, model: type[Model]) -> None:
    assert page.get(url(model, "add")).status_code == 200


def test_the_front_page_and_the_sidebar_answer(page: Client) -> None:
    response = page.get(reverse("admin:index"))
    assert response.status_code == 200
    assert "Sandbox provider" in response.text


@pytest.mark.parametrize("model", MODELS)
def test_a_list_needs_a_permission(client: Client, staff: Staff, model: type[Model]) -> None:
    response = client.get(url(model, "changelist"))
    assert response.status_code == 302
    assert "/login/" in response["Location"]
    assert staff().get(url(model, "changelist")).status_code == 403


@pytest.mark.parametrize("model", [model for model in MODELS if model in NO_ADD])
def test_a_record_is_permanent(page: Client, rows: list[Model], model: type[Model]) -> None:
    row = next(row for row in rows if isinstance(row, model))
    assert page.get(url(model, "add")).status_code == 403
    assert page.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
    assert page.post(url(model, "changelist"), chosen).status_code in {200, 302}
    assert model._default_manager.filter(pk=row.pk).exists()


@pytest.mark.parametrize("model", EDIT_NEVER)
def test_a_record_is_not_edited(page: Client, rows: list[Model], model: type[Model]) -> None:
    row = next(row for row in rows if isinstance(row, model))
    assert page.post(url(model, "change", row.pk), {"feature": "x"}).status_code == 403


def test_the_badge_names_the_sandbox_and_nothing_in_production(rf: RequestFactory) -> None:
    with override_settings(AIFEATURE={"PROVIDER": "sandbox"}):
        assert environment(rf.get("/")) == ("Sandbox provider", "warning")
    with override_settings(AIFEATURE={"PROVIDER": "anthropic"}):
        assert environment(rf.get("/")) is None


def test_the_sidebar_follows_permissions(rf: RequestFactory, boss: User, customer: User) -> None:
    visit = rf.get("/")
    visit.user = boss
    with override_settings(FLOWER_URL="http://flower.example/"):
        titles = [item["title"] for group in navigation(visit) for item in group["items"]]
    assert titles == [
        *("Dashboard", "Jobs", "Attempts", "Web failures", "Workers"),
        *("Alerts", "Silences", "Alert channels", "Deliveries of alerts", "Features", "Canaries"),
        *(
            "Evaluations",
            "Regression runs",
            "Models",
            "Provider accounts",
            "Shadows",
            "People",
            "Rates of users",
            "Blocked users",
            "Launches",
            "Changes",
            "Guard events",
            "Feedback",
            "Spend",
        ),
        *("Users", "Groups", "API tokens", "Periodic tasks", "Checks", "Flower", "Tour"),
    ]
    visit.user = customer
    with override_settings(FLOWER_URL=""):
        assert navigation(visit) == []
