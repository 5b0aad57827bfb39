"""Open alerts come first, with their runbook. Checks show the result of their last run."""

from __future__ import annotations

import pytest
from django.db.models.functions import Now
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from aifeature.admin.alerting import open_alerts
from aifeature.models import Alert, CheckRun
from aifeature.services.alerting import alerts
from project.env import BASE_DIR
from tests.integration.admin.conftest import Staff

INDEX = "/admin/"
LIST = "/admin/aifeature/alert/"


def test_an_open_alert_heads_the_overview_until_it_is_over(page: Client, db: None) -> None:
    alerts.begin("drift", "global", "Off by <b>7</b> micro-dollars.", {"a_micro": 7})
    alert = Alert.objects.get()
    text = page.get(INDEX).text
    for part in (
        'class="aif-alarm"',
        "Drift: global",
        "Off by &lt;b&gt;7&lt;/b&gt;",
        f"since {alert.opened_at:%Y-%m-%d %H:%M:%S} UTC",
        "deploy/runbooks/budgets.md",
        f"{LIST}{alert.pk}/change/",
    ):
        assert part in text
    alerts.end("drift", "global")
    assert "aif-alarm" not in page.get(INDEX).text


def test_alerts_need_their_permission(staff: Staff, db: None) -> None:
    alerts.begin("drift", "global", "Off.")
    assert "Drift: global" not in staff("view_job").get(INDEX).text
    assert "Drift: global" in staff("view_alert").get(INDEX).text
    assert "You do not have permission to see any" not in staff("view_alert").get(INDEX).text


def test_a_detail_page_has_the_figures(page: Client, db: None) -> None:
    alerts.begin("overrun", "summarize", "Over.", {"cost_micro": 1_500_000, "model": "m"})
    text = page.get(f"{LIST}{Alert.objects.get().pk}/change/").text
    assert "cost $1.50" in text
    assert "model m" in text


def test_the_runbook_of_the_kill_switch_exists() -> None:
    assert (BASE_DIR / open_alerts.runbook("kill_switch")).is_file()
    assert open_alerts.runbook("a kind without one") == "-"


@pytest.mark.parametrize(("ok", "state"), [(True, "ok"), (False, "problem found")])
def test_the_schedule_shows_last_runs(page: Client, db: None, *, ok: bool, state: str) -> None:
    CheckRun.objects.create(
        name="control.drift", began_at=Now(), ended_at=Now(), ok=ok, result="Looked at 7 windows."
    )
    every = IntervalSchedule.objects.create(every=1, period="minutes")
    PeriodicTask.objects.create(name="Compare", task="control.drift", interval=every)
    schedule = page.get("/admin/django_celery_beat/periodictask/").text
    assert "Looked at 7 windows." in schedule
    listed = page.get("/admin/aifeature/checkrun/").text
    assert "Looked at 7 windows." in listed
    assert state in listed


def test_open_alerts_come_first_and_alerts_are_filtered_by_state(page: Client, db: None) -> None:
    alerts.begin("drift", "the-open-one", "Off.")
    alerts.begin("overrun", "the-ended-one", "Over.")
    alerts.end("overrun", "the-ended-one")
    text = page.get(LIST).text
    assert text.index("the-open-one") < text.index("the-ended-one")
    assert "deploy/runbooks/budgets.md" in text
    assert "Empty" not in text
    for state, shown in (("open", "the-open-one"), ("over", "the-ended-one")):
        text = page.get(LIST, {"state": state}).text
        assert [each for each in ("the-open-one", "the-ended-one") if each in text] == [shown]
