"""The choice of what follows when a number turns red, and the page of why an alert was opened."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.utils import timezone

from aifeature.admin.alerting import why
from aifeature.models import Alert, ControlChange, Feedback, NumberAction, NumberRule, Status
from aifeature.services.alarms import rules
from tests.integration.admin.conftest import MakeAttempt, MakeJob, Staff
from tests.readings import plant

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("live_prompt")]

DETAIL = "/admin/aifeature/featurecontrol/summarize/change/"
DIALOG = "/admin/aifeature/featurecontrol/summarize/number_actions/"
NOTIFY = {**dict.fromkeys(rules.KINDS, "notify"), "_form_submitted": "True"}


def test_an_action_is_chosen_with_a_reason(page: Client, boss: User) -> None:
    plant(errors="amber")
    text = page.get(DETAIL).text
    for part in ("When a number turns red", "Error rate", "Only notify", "Choose actions"):
        assert part in text
    page.post(DIALOG, {**NOTIFY, "errors": "roll_back", "reason": ""})
    assert not NumberRule.objects.exists()
    page.post(DIALOG, {**NOTIFY, "errors": "roll_back", "reason": "Prompts change often."})
    assert rules.action("summarize", "errors") is NumberAction.ROLL_BACK
    assert "Roll the prompt back" in page.get(DETAIL).text
    (row,) = ControlChange.objects.filter(field=rules.FIELD)
    assert (row.old, row.new, row.user) == ("errors: notify", "errors: roll_back", boss)


def test_an_action_needs_the_permission_for_doing_it(staff: Staff) -> None:
    page = staff("change_featurecontrol", "view_featurecontrol")
    for action in ("roll_back", "trip"):
        answer = page.post(DIALOG, {**NOTIFY, "latency": action, "reason": "r"})
        assert "you need the permission" in answer.text
    page.post(DIALOG, {**NOTIFY, "latency": "stop_ramp", "reason": "r"})
    assert [row.action for row in NumberRule.objects.all()] == ["stop_ramp"]
    assert staff("view_featurecontrol").get(DIALOG).status_code == 403
    assert "Choose actions" not in staff("view_featurecontrol").get(DETAIL).text


def shown(alert: Alert, user: User) -> str:
    request = RequestFactory().get("/")
    request.user = user
    found = {"why": why.context(alert)}
    return render_to_string("aifeature/admin/alert_why.html", found, request)


def make_alert(kind: str, **values: Any) -> Alert:
    ends = timezone.now()
    figures = {
        "number": "errors",
        "value": 0.041,
        "threshold": 0.02,
        "unit": "share",
        "sample": 512,
        "window_s": 3600,
        "low": 0.023,
        "high": 0.06,
        "begins": (ends - timedelta(hours=1)).isoformat(),
        "ends": ends.isoformat(),
        "since": ends.isoformat(),
        "changes": [
            {
                "at": (ends - timedelta(minutes=12)).isoformat(),
                "kind": "prompt",
                "text": "Prompt v4 became live",
            }
        ],
        "action": {"action": "roll_back", "state": "not_done", "text": "t"},
    }
    return Alert.objects.create(
        kind=kind, subject="summarize", summary="s", figures={**figures, **values}
    )


def test_the_page_of_an_alert_has_its_figures_changes_and_rows(
    boss: User, make_job: MakeJob, make_attempt: MakeAttempt, staff: Staff
) -> None:
    failed = make_job(status=Status.FAILED, error_code="provider_unavailable")
    make_attempt(job=failed, model="m-1")
    make_job(status=Status.FAILED, error_code="user_limit")
    earlier = timezone.now() - timedelta(hours=2)
    make_job(status=Status.FAILED, error_code="output_invalid", finished_at=earlier)
    plant(errors="amber")
    alert = make_alert("errors_high")
    text = shown(alert, boss)
    for part in (
        *("4.1 %", "2 %", "512", "2.3 % to 6 %", "12 minutes", "Prompt v4 became live"),
        *(
            "Roll the prompt back: not done",
            "provider_unavailable",
            "m-1",
            "deploy/runbooks/errors.md",
        ),
        f"/admin/aifeature/job/{failed.pk}/change/",
    ):
        assert part in text, part
    assert "output_invalid" not in text, "before the window of the alert"
    assert "user_limit" not in text, "it is no error"
    page = staff("view_alert")
    reader = User.objects.get(pk=page.session["_auth_user_id"])
    text = shown(alert, reader)
    assert "You need the permission" in text
    assert "provider_unavailable" not in text


def test_each_kind_of_alert_has_a_page(boss: User, make_job: MakeJob) -> None:
    job = make_job(status=Status.SUCCEEDED)
    Feedback.objects.create(
        job=job, user=job.user, feature="summarize", rating=-1, first_rating=-1,
        reasons=["made_up"], comment="My secret words",
    )  # fmt: skip
    for kind in rules.KINDS.values():
        assert "The rows that counted" in shown(make_alert(kind), boss)
    text = shown(Alert.objects.get(kind="thumbs_down_high"), boss)
    assert ("Made up" in text, "secret" in text) == (True, False)
    other = Alert.objects.create(
        kind="overrun", subject="summarize day", summary="s", figures={"over_micro": 1_500_000}
    )
    text = shown(other, boss)
    assert ("over $1.50" in text, "The rows that counted" in text) == (True, False)
    Alert.objects.update(closed_at=timezone.now())
    broken = make_alert("errors_high", begins=7, changes=[{"at": None}])
    assert "None is left" not in shown(broken, boss)
