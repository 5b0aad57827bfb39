"""Each alert is notified once at its beginning and once at its end, by any process."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import connection

from aifeature import registry
from aifeature.models import Alert, CheckRun
from aifeature.services.alerting import alerts, check_runs
from aifeature.services.alerting.check_runs import Found
from aifeature.services.execution import hooks
from aifeature.services.execution.hooks import FeatureBrokenError

pytestmark = pytest.mark.django_db


def begin(summary: str = "Something.") -> Alert:
    alerts.begin("drift", "windows", summary, {"said": summary})
    return Alert.objects.get(closed_at=None)


def test_one_that_is_open_is_only_seen_again() -> None:
    first, again = begin("It began."), begin("It goes on.")
    assert (again.pk, again.opened_at) == (first.pk, first.opened_at)
    assert (again.summary, again.figures) == ("It began.", {"said": "It began."})
    assert again.seen_at > first.seen_at


def test_one_about_a_feature_has_the_newest_cause_and_one_notice() -> None:
    def broken(part: str) -> Alert:
        with pytest.raises(FeatureBrokenError), hooks.guarded(registry.get("answer"), part):
            raise KeyError
        return Alert.objects.get()

    assert broken("check").summary.startswith("check of the feature answer raised KeyError")
    assert alerts.notify() == 1
    assert broken("plain").summary.startswith("plain of the feature answer raised KeyError")
    assert alerts.notify() == 0


def test_an_ended_alert_stays_and_a_new_one_begins() -> None:
    first = begin()
    assert alerts.end("drift", "windows")
    ended = Alert.objects.get(pk=first.pk).closed_at
    assert begin().pk != first.pk
    assert alerts.end("drift", "windows")
    assert Alert.objects.get(pk=first.pk).closed_at == ended
    assert not alerts.end("drift", "windows")


def test_a_begin_and_an_end_are_each_notified_once() -> None:
    begin()
    assert [alerts.notify(), alerts.notify()] == [1, 0]
    alerts.end("drift", "windows")
    assert [alerts.notify(), alerts.notify()] == [1, 0]


@pytest.mark.django_db(transaction=True)
def test_an_alert_that_another_process_notifies_is_skipped() -> None:
    alert = begin()
    other: psycopg.Connection[Any]
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT 1 FROM aifeature_alert WHERE id = %s FOR UPDATE", (alert.pk,))
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '3s'")
            try:
                assert alerts.notify() == 0
            finally:
                cursor.execute("RESET lock_timeout")
    assert alerts.notify() == 1


def test_a_check_that_breaks_off_is_recorded() -> None:
    def look() -> Found:
        raise ZeroDivisionError

    assert check_runs.run("control.budgets", lambda: Found(ok=True, result="All is well.")).ok
    with pytest.raises(ZeroDivisionError):
        check_runs.run("control.budgets", look)
    run = CheckRun.objects.get(name="control.budgets")
    assert (run.ok, run.result) == (False, "It broke off: ZeroDivisionError.")
