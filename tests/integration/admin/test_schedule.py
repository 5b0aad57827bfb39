"""The schedule in admin: each change with a reason, protected checks with their permission."""

from __future__ import annotations

from calendar import isleap
from datetime import date
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from aifeature.models import ControlChange
from aifeature.services.stores import broker
from aifeature.services.watch import protected, schedule
from project.beat import Entry
from project.celery import app
from tests.integration.admin.conftest import Staff

pytestmark = pytest.mark.slow

LIST = "/admin/django_celery_beat/periodictask/"
NAME = "Look at budgets"
SCHEDULER = ("change_periodictask", "view_periodictask", "delete_periodictask", "add_periodictask")


@pytest.fixture
def row(db: None) -> Any:
    """Beat's row of a protected check."""
    return made(NAME)


def made(name: str) -> Any:
    """Beat's row of one task of the schedule."""
    Entry.from_entry(name, app=app, **app.conf.beat_schedule[name])
    return PeriodicTask.objects.get(name=name)


@pytest.fixture
def own(row: Any) -> Any:
    """A task that is not protected."""
    return PeriodicTask.objects.create(
        name="Own", task="llm.run_job", kwargs='{"job_id": "0"}', interval=row.interval
    )


def form_of(row: Any, **values: Any) -> dict[str, Any]:
    """The form as a browser sends it, with other values."""
    sent = {
        "name": row.name, "regtask": "", "task": row.task, "enabled": "on" if row.enabled else "",
        "interval": row.interval_id or "", "crontab": row.crontab_id or "", "args": row.args,
        "kwargs": row.kwargs, "queue": row.queue or "", "headers": row.headers,
        "description": row.description, "reason": "Because.", **values,
    }  # fmt: skip
    return {name: value for name, value in sent.items() if value != ""}


def page_of(row: Any) -> str:
    return reverse("admin:django_celery_beat_periodictask_change", args=(row.pk,))


def button_of(row: Any, name: str) -> str:
    return f"{LIST}{row.pk}/{name}/"


def pressed(client: Client, row: Any, name: str, **values: str) -> Any:
    form = {"_form_submitted": "on", "reason": "Because.", **values}
    return client.post(button_of(row, name), form)


def now(row: Any) -> Any:
    return PeriodicTask.objects.filter(pk=row.pk).first()


def trail() -> list[tuple[str, str, str]]:
    rows = ControlChange.objects.filter(feature="_schedule").order_by("id")
    return list(rows.values_list("field", "old", "new"))


def test_each_change_has_its_row_in_the_trail(page: Client, own: Any) -> None:
    slow = IntervalSchedule.objects.create(every=5, period="minutes")
    sent = form_of(own, interval=slow.pk, queue="llm", enabled="", reason="It was too often.")
    assert page.post(page_of(own), sent).status_code == 302
    assert trail() == [
        ("interval", "Own: every 60 seconds", "Own: every 5 minutes"),
        ("queue", "Own: (empty)", "Own: llm"),
        ("enabled", "Own: True", "Own: False"),
    ]
    change = ControlChange.objects.first()
    assert change is not None
    assert (change.reason, change.user and change.user.username) == ("It was too often.", "boss")
    assert "Own: every 5 minutes" in page.get("/admin/aifeature/controlchange/").text
    assert "It was too often." in page.get(page_of(own)).text


def test_a_save_that_changes_nothing_leaves_no_record(page: Client, row: Any) -> None:
    assert page.post(page_of(row), form_of(row)).status_code == 302
    assert trail() == []


@pytest.mark.parametrize("reason", ["", "   "])
def test_nothing_is_saved_without_a_reason(page: Client, own: Any, reason: str) -> None:
    answer = page.post(page_of(own), form_of(own, queue="llm", reason=reason))
    assert answer.status_code == 200
    assert "reason" in answer.context["adminform"].form.errors
    for name in ("disable", "run_now", "remove"):
        assert pressed(page, own, name, reason=reason).status_code == 200
    assert now(own).enabled
    assert trail() == []


def test_a_new_task_is_in_the_trail(page: Client, row: Any) -> None:
    new = PeriodicTask(name="New", task="control.sweep", interval=row.interval)
    assert page.post(f"{LIST}add/", form_of(new)).status_code == 302
    assert trail() == [("added", "New: (empty)", "New: control.sweep")]


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"task": "control.swep"}, "task", "Choose one of control.alerts"),
        ({"args": "[1]"}, "kwargs", "too many positional arguments"),
        ({"kwargs": "[]"}, "kwargs", "Enter an object"),
        ({"kwargs": "{"}, "kwargs", "JSON"),
        ({"kwargs": '{"job_id": "0", "x": 1}'}, "kwargs", "ignores 'x'"),
        ({"queue": "controll"}, "queue", "Choose one of llm, evals, control"),
        ({"routing_key": "x"}, "routing_key", "Leave this empty"),
        ({"headers": "[]"}, "headers", "Enter an object"),
        ({"headers": '{"task": "celery.map"}'}, "headers", "Leave this empty"),
    ],
    ids=str,
)
def test_an_invalid_row_is_refused_with_its_fix(
    page: Client, own: Any, values: dict[str, str], field: str, words: str
) -> None:
    before = PeriodicTask.objects.values().get(pk=own.pk)
    answer = page.post(page_of(own), form_of(own, **values))
    assert answer.status_code == 200
    (problem,) = answer.context["adminform"].form.errors[field]
    assert words in problem
    assert PeriodicTask.objects.values().get(pk=own.pk) == before


def weakening(row: Any) -> dict[str, dict[str, Any]]:
    day = IntervalSchedule.objects.create(every=1, period="days")
    return {
        "disable it": {"enabled": ""},
        "run it only once": {"one_off": "on"},
        "let it expire": {"expire_seconds": 1},
        "let it expire ": {"expires_0": "2030-01-01", "expires_1": "00:00:00"},
        "delay its start": {"start_time_0": "2100-01-01", "start_time_1": "00:00:00"},
        "give it another task": {"task": "llm.run_job", "kwargs": '{"job_id": "0"}'},
        "give it another queue": {"queue": "llm"},
        "run it less often than every 120 seconds": {"interval": day.pk},
    }


def test_weakening_a_check_needs_the_right_to_release_a_switch(staff: Staff, row: Any) -> None:
    client = staff(*SCHEDULER, "view_intervalschedule", "stop_feature")
    for phrase, values in weakening(row).items():
        answer = client.post(page_of(row), form_of(row, **values))
        assert answer.status_code == 200, phrase
        (problem,) = answer.context["adminform"].form.non_field_errors()
        assert f"control.budgets is a protected check. To {phrase.strip()}" in problem
        assert "Can release the kill switch" in problem
    for name in ("disable", "remove"):
        answer = pressed(client, row, name)
        assert answer.status_code == 200
        assert "is a protected check" in answer.text
    assert now(row).enabled
    assert trail() == []


def test_a_person_with_that_right_weakens_a_check_with_a_record(staff: Staff, row: Any) -> None:
    client = staff(*SCHEDULER, "release_feature")
    for values in weakening(row).values():
        answer = client.post(page_of(row), form_of(now(row), **values))
        assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert len(trail()) >= 6
    assert pressed(client, row, "remove")["HX-Redirect"] == LIST
    assert now(row) is None
    assert trail()[-1][0] == "deleted"


def test_a_check_may_be_slowed_down_a_little_and_be_sped_up(staff: Staff, row: Any) -> None:
    client = staff(*SCHEDULER)
    for every in (120, 10):
        other = IntervalSchedule.objects.create(every=every, period="seconds")
        answer = client.post(page_of(row), form_of(row, interval=other.pk))
        assert answer.status_code == 302
        assert now(row).interval == other


def test_a_slow_check_may_be_sped_up_a_little(staff: Staff, row: Any, boss: User) -> None:
    row.interval = IntervalSchedule.objects.create(every=1, period="days")
    schedule.save(row, reason="Too noisy tonight.", user_id=boss.pk)
    hours = IntervalSchedule.objects.create(every=6, period="hours")
    answer = staff(*SCHEDULER).post(page_of(row), form_of(row, interval=hours.pk))
    assert answer.status_code == 302
    assert now(row).interval == hours


@pytest.mark.parametrize("queue", ["control", ""])
def test_another_spelling_of_the_same_weakens_nothing(staff: Staff, row: Any, queue: str) -> None:
    """An empty queue means `control`."""
    values = {"kwargs": "{ }", "headers": "{ }"}
    sent = {**form_of(row, **values), "queue": queue}  # an empty field is sent as well
    answer = staff(*SCHEDULER).post(page_of(row), sent)
    assert answer.status_code == 302


@pytest.mark.parametrize("task", sorted(protected.PROTECTED))
def test_each_protected_check_is_protected(staff: Staff, db: None, task: str) -> None:
    (name,) = (name for name, entry in app.conf.beat_schedule.items() if entry["task"] == task)
    row = made(name)
    assert pressed(staff(*SCHEDULER), row, "disable").status_code == 200
    assert now(row).enabled


def test_the_buttons_disable_enable_and_delete_with_a_record(page: Client, own: Any) -> None:
    for name in ("disable", "enable"):
        assert "Because" not in page.get(button_of(own, name)).text
        assert pressed(page, own, name)["HX-Redirect"] == LIST
    assert now(own).enabled
    pressed(page, own, "remove")
    assert now(own) is None
    assert trail() == [
        ("enabled", "Own: True", "Own: False"),
        ("enabled", "Own: False", "Own: True"),
        ("deleted", "Own: llm.run_job", "Own: (empty)"),
    ]


def test_run_now_is_audited(page: Client, own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(broker, "send", lambda task, **how: sent.append((task, how)))
    pressed(page, own, "run_now")
    assert sent == [("llm.run_job", {"args": [], "kwargs": {"job_id": "0"}, "queue": "control"})]
    assert trail() == [("run now", "Own: (empty)", "Own: sent to control")]


def test_a_refusal_is_reported(page: Client, own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(broker, "send", refuses)
    pressed(page, own, "run_now")
    assert "was not sent, since the broker does not answer" in page.get(LIST).text


def test_a_row_that_no_worker_could_run_is_neither_sent_nor_enabled(page: Client, own: Any) -> None:
    PeriodicTask.objects.filter(pk=own.pk).update(queue="x", enabled=False)
    for name in ("run_now", "enable"):
        assert "No worker serves the queue" in pressed(page, own, name).text
    assert not now(own).enabled
    assert trail() == []


@pytest.mark.parametrize(
    "action",
    ["disable_tasks", "enable_tasks", "toggle_tasks", "run_tasks", "delete_selected"],
)
def test_no_action_changes_many_tasks(
    page: Client, row: Any, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sent(*_: Any, **__: Any) -> None:
        raise AssertionError("it was sent")

    monkeypatch.setattr(app.tasks["control.budgets"], "apply_async", sent)
    before = list(PeriodicTask.objects.order_by("pk").values())
    chosen = {"action": action, "_selected_action": [str(row.pk)], "post": "yes"}
    page.post(LIST, {**chosen, "select_across": "1"})
    assert list(PeriodicTask.objects.order_by("pk").values()) == before
    assert page.get(LIST).context["action_form"] is None


def test_djangos_own_deletion_without_a_reason_is_closed(page: Client, row: Any) -> None:
    own_page = reverse("admin:django_celery_beat_periodictask_delete", args=(row.pk,))
    assert page.post(own_page, {"post": "yes"}).status_code == 403
    assert now(row) is not None


@pytest.mark.parametrize(
    "model", [IntervalSchedule, CrontabSchedule, ClockedSchedule, SolarSchedule]
)
def test_a_schedule_in_use_is_not_changed(page: Client, row: Any, model: Any) -> None:
    values: dict[Any, dict[str, Any]] = {
        IntervalSchedule: {"every": 60, "period": "seconds"},
        CrontabSchedule: {},
        ClockedSchedule: {"clocked_time": "2026-01-01T00:00:00Z"},
        SolarSchedule: {"event": "sunset", "latitude": 0, "longitude": 0},
    }
    other = model.objects.filter(**values[model]).first() or model.objects.create(**values[model])
    where = f"/admin/django_celery_beat/{model._meta.model_name}/"
    before = model.objects.values().get(pk=other.pk)
    change = page.post(f"{where}{other.pk}/change/", {"every": 9999, "period": "days", "hour": "3"})
    assert change.status_code == 403
    assert page.post(f"{where}{other.pk}/delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [str(other.pk)], "post": "yes"}
    page.post(where, chosen)
    assert model.objects.values().get(pk=other.pk) == before
    assert not admin.site._registry[model].list_editable


def test_a_viewer_of_the_schedule_changes_nothing(staff: Staff, row: Any) -> None:
    client = staff("view_periodictask", "release_feature")
    assert "Stored in the audit log" not in client.get(page_of(row)).text
    assert client.post(page_of(row), form_of(row, enabled="")).status_code == 403
    for name in ("enable", "disable", "run_now", "remove"):
        assert pressed(client, row, name).status_code == 403
        assert button_of(row, name) not in client.get(page_of(row)).text
    assert now(row).enabled


def test_a_stranger_presses_no_button(client: Client, row: Any, customer: User) -> None:
    client.force_login(customer)
    assert pressed(client, row, "disable").status_code == 302
    assert now(row).enabled


CRONTAB = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def add_crontab(page: Client, **values: str) -> Any:
    inline = {f"periodictask_set-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL")}
    form = {**dict.fromkeys(CRONTAB, "*"), "timezone": "UTC", **inline, **values}
    answer = page.post("/admin/django_celery_beat/crontabschedule/add/", form)
    assert answer.status_code == 200
    return answer


@pytest.mark.parametrize("value", ["-1", "-Infinity", "1/0", "1-", "x", "*/99", "9" * 40])
@pytest.mark.parametrize("part", CRONTAB)
def test_a_crontab_that_beat_cannot_read_is_explained(boss: User, part: str, value: str) -> None:
    """The form alone: its page has all time zones, which takes 0.2 s to render."""
    request = RequestFactory().get("/")
    request.user = boss
    form = admin.site._registry[CrontabSchedule].get_form(request)
    errors = form({**dict.fromkeys(CRONTAB, "*"), "timezone": "UTC", part: value}).errors
    assert set(errors) == {part} or "Beat cannot read this crontab" in str(errors["__all__"])


@pytest.mark.parametrize(
    ("day", "month", "weekday", "words"),
    [
        ("31", "2", "*", "Beat cannot read this crontab"),
        ("31", "4,6,9,11", "*", "Beat cannot read this crontab"),
        ("29", "2", "{never}", "It runs on no day of the next eight years"),
    ],
)
def test_a_crontab_that_never_runs_is_refused(
    page: Client, day: str, month: str, weekday: str, words: str
) -> None:
    leap_days = [date(year, 2, 29) for year in range(date.today().year, 2600) if isleap(year)]  # noqa: DTZ011
    never = next(n for n in range(7) if n not in {d.isoweekday() % 7 for d in leap_days[:4]})
    date_of = {"day_of_month": day, "month_of_year": month}
    week = {"day_of_week": weekday.format(never=never)}
    answer = add_crontab(page, minute="0", hour="0", **date_of, **week)
    assert words in answer.text
    assert not CrontabSchedule.objects.filter(day_of_month=day).exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"expires_0": "2020-01-01", "expires_1": "00:00"}, "This time is past"),
        (
            {
                "start_time_0": "2990-01-02", "start_time_1": "00:00",
                "expires_0": "2990-01-01", "expires_1": "00:00",
            },
            "It expires before it starts",
        ),
    ],
)  # fmt: skip
def test_past_times_are_refused(page: Client, own: Any, values: dict[str, str], words: str) -> None:
    answer = page.post(page_of(own), form_of(own, **values))
    assert answer.status_code == 200
    assert words in str(answer.context["adminform"].form.errors)
    assert now(own).expires is None


def test_a_form_that_claims_many_rows_gets_few(page: Client) -> None:
    claimed = {f"periodictask_set-{name}_FORMS": "9" * 40 for name in ("TOTAL", "INITIAL")}
    assert add_crontab(page, **claimed).text.count('name="periodictask_set-') < 1_000
