"""Monthly caps, concurrent calls, overruns, and windows that differ from the ledger."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from aifeature import registry
from aifeature.models import (
    Alert,
    Attempt,
    AttemptState,
    CheckRun,
    ControlChange,
    FeatureControl,
    Job,
    SpendWindow,
    Status,
    reconciliation,
    transitions,
)
from aifeature.models.transitions import AttemptRefusedError, Caps, Settlement
from aifeature.services.alerting import alerts
from aifeature.services.controls import effective, switch
from aifeature.services.spend import budgets, settlement
from tests import books
from tests.books import Key, Sums
from tests.integration.job_rows import MakeCall, MakeJob, begin, claim
from tests.integration.machine.rows import QUERIES, AttemptRow, JobRow, WindowRow
from tests.integration.spend.windows import today
from workers import tasks

pytestmark = pytest.mark.django_db

RUNBOOKS = Path(__file__).resolve().parents[3] / "deploy" / "runbooks"


def window(scope: str, **found: Any) -> SpendWindow:
    return SpendWindow.objects.get(scope=scope, **found)


def succeed(make_job: MakeJob, *, bound: int, cost: int, **values: Any) -> Attempt:
    """Let a job succeed with one call of this bound and cost."""
    running = claim(make_job(**values))
    call = begin(running, bound=bound)
    done = Settlement(call, AttemptState.SETTLED, cost_micro=cost)
    transitions.finish(running, Status.SUCCEEDED, result={}, settlement=done)
    return Attempt.objects.get(pk=call)


@pytest.mark.parametrize(("spent", "verdict"), [(400, "budget_held"), (601, "budget_spent")])
def test_a_month_is_kept_to_the_micro_dollar(make_job: MakeJob, spent: int, verdict: str) -> None:
    succeed(make_job, bound=spent, cost=spent)
    caps = Caps(month=1000)
    begin(claim(make_job()), bound=1000 - spent, caps=caps)
    with pytest.raises(AttemptRefusedError, match=f"{verdict} month"):
        begin(claim(make_job()), bound=400, caps=caps)
    month = window("month")
    assert (month.spent_micro, month.held_micro) == (spent, 1000 - spent)
    assert month.day == today().replace(day=1)


def test_a_refusal_by_the_month_reserves_nothing_anywhere(make_job: MakeJob) -> None:
    job = make_job()
    with pytest.raises(AttemptRefusedError, match="budget_spent month"):
        begin(claim(job), bound=400, caps=Caps(month=399))
    assert not SpendWindow.objects.exists()
    job.refresh_from_db()
    assert job.attempts == 0


def test_concurrent_calls_of_a_user_are_limited(make_job: MakeJob, bob: User) -> None:
    caps = Caps(in_flight=2)
    first, second, third = (claim(make_job()) for _ in range(3))
    call = begin(first, caps=caps)
    begin(second, caps=caps)
    with pytest.raises(AttemptRefusedError, match="user_busy"):
        begin(third, caps=caps)
    begin(claim(make_job(user=bob)), caps=caps)
    begin(claim(make_job(feature="triage")), caps=caps)
    transitions.settle(first, Settlement(call, AttemptState.SETTLED))
    begin(third, caps=caps)


@pytest.mark.parametrize("finished", [True, False])
def test_a_call_above_its_bound_stops_its_feature(make_job: MakeJob, finished: bool) -> None:
    if finished:
        call = succeed(make_job, bound=1000, cost=1001)
        assert window("user").spent_micro == 1001
        assert Job.objects.get().charge_micro == 1001
    else:  # a person settles a call whose end is unknown
        running = claim(make_job())
        begin(running, bound=1000)
        transitions.return_to_queue(running, delay_s=0, counts_as_try=True)
        call = Attempt.objects.get()
        settlement.settle_unknown(
            attempt_id=call.pk, cost_usd=Decimal("0.001001"), reason="r", user_id=None
        )
    for scope in ("feature", "global", "month"):
        assert window(scope).spent_micro == 1001
    row = FeatureControl.objects.get(feature="summarize")
    assert row.killed
    assert f"Call {call.pk} of summarize" in row.kill_reason
    change = ControlChange.objects.get(feature="summarize", field="killed")
    assert change.check_name == "overrun"
    assert change.figures is not None
    assert (change.figures["bound_micro"], change.figures["cost_micro"]) == (1000, 1001)
    assert Alert.objects.get(kind="overrun").subject == "summarize"
    person = User.objects.create_user("on-call")
    switch.release("summarize", reason="The prices were old.", user_id=person.pk)
    assert Alert.objects.get(kind="overrun").closed_at is not None


def test_a_call_at_its_bound_stops_nothing(make_job: MakeJob) -> None:
    succeed(make_job, bound=1000, cost=1000)
    assert not FeatureControl.objects.filter(killed=True).exists()


def life_of_a_day(make_job: MakeJob, bob: User) -> None:
    """Make charged, failed, unknown and open calls of two users and features."""
    succeed(make_job, bound=1000, cost=700)
    succeed(make_job, bound=1000, cost=300, user=bob, feature="triage")
    repaired = claim(make_job())
    first = begin(repaired, bound=500)
    transitions.settle(repaired, Settlement(first, AttemptState.SETTLED, cost_micro=400))
    second = begin(repaired, bound=600)
    done = Settlement(second, AttemptState.SETTLED, cost_micro=200)
    transitions.finish(repaired, Status.SUCCEEDED, result={}, settlement=done)
    failed = claim(make_job())
    transitions.finish(
        failed,
        Status.FAILED,
        error_code="provider_refused",
        settlement=Settlement(begin(failed), AttemptState.FAILED),
    )
    lost = claim(make_job(user=bob))
    begin(lost, bound=250)
    transitions.return_to_queue(lost, delay_s=0, counts_as_try=True)
    cancelled = claim(make_job(user=bob))
    call = begin(cancelled, bound=90)
    transitions.cancel(cancelled.job, user_id=bob.pk, message="You did.")
    read = Settlement(
        call,
        AttemptState.ESTIMATED,
        cost_micro=80,
        ended_by="user",
        delivered_text="The sum",
        delivered_micro=30,
    )
    transitions.finish(cancelled, Status.CANCELLED, error_code="cancelled", settlement=read)
    begin(claim(make_job()), bound=900)


@pytest.mark.parametrize("scope", ["user", "account", "feature", "global", "month"])
@pytest.mark.parametrize(
    "change",
    [{"spent_micro": 7}, {"held_micro": 7}, {"spent_micro": -7}, {"own_spend_micro": 7}],
)
def test_a_wrong_window_is_fixed(
    make_job: MakeJob, bob: User, scope: str, change: dict[str, int]
) -> None:
    life_of_a_day(make_job, bob)
    before = list(SpendWindow.objects.order_by("pk").values())
    wrong = SpendWindow.objects.filter(scope=scope, spent_micro__gt=7).first()
    assert wrong is not None
    by = {name: F(name) + micro for name, micro in change.items()}
    SpendWindow.objects.filter(pk=wrong.pk).update(**by)
    found = [change.get(name, 0) for name in ("spent_micro", "held_micro", "own_spend_micro")]
    expected = {(wrong.scope, wrong.key, wrong.day): tuple(found)}
    assert drifts(repair=False) == books_differ() == expected
    assert drifts(repair=True) == expected
    assert list(SpendWindow.objects.order_by("pk").values()) == before


@pytest.mark.parametrize(
    "change",
    [
        {"state": "failed", "ended_at": Now()},
        {"state": "unknown", "ended_at": Now()},
        {"cost_micro": 1},
        {"bound_micro": 1},
        {"own_spend": False},
        {"own_spend": True},
        {"feature": "triage"},
    ],
)
def test_a_changed_ledger_differs_for_the_reconciler_and_the_books(
    make_job: MakeJob, bob: User, change: dict[str, Any]
) -> None:
    """The books (`tests.books`) add up the rows in Python, the reconciler in SQL."""
    life_of_a_day(make_job, bob)
    assert drifts(repair=True) == books_differ() == {}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # without the guards
    found = []
    for call in Attempt.objects.all():
        Attempt.objects.filter(pk=call.pk).update(**change)
        found.append(books_differ())
        assert drifts(repair=False) == found[-1]
        call.save()
    assert any(found)


def drifts(*, repair: bool) -> dict[Key, tuple[int, int, int]]:
    found = reconciliation.reconcile(today() - timedelta(days=1), repair=repair)
    return {
        (d.scope, d.key, d.day): (d.spent_micro, d.held_micro, d.own_spend_micro) for d in found
    }


def books_differ() -> dict[Key, Sums]:
    rows = books.read(cast("psycopg.Connection", connection.connection), QUERIES)
    return books.differences(rows[JobRow], rows[AttemptRow], rows[WindowRow])


def test_a_window_that_is_missing_is_made(make_job: MakeJob, bob: User) -> None:
    life_of_a_day(make_job, bob)
    SpendWindow.objects.all().delete()
    missing = books_differ()
    assert {scope for scope, _, _ in missing} == set(SpendWindow.Scope.values)
    assert drifts(repair=True) == missing
    assert books_differ() == {}


def test_a_month_is_the_sum_of_its_days(make_call: MakeCall) -> None:
    """Days before the reconciled ones count by their windows."""
    began = datetime(2026, 3, 15, 12, tzinfo=UTC)
    make_call(started_at=began, day=began.date(), cost_micro=700)
    reconciliation.reconcile(began.date(), repair=True)
    SpendWindow.objects.create(scope="global", key="", day=date(2026, 3, 14), spent_micro=50)
    (drift,) = reconciliation.reconcile(began.date(), repair=True)
    assert (drift.scope, drift.spent_micro) == ("month", -50)
    assert window("month").spent_micro == 750


def test_a_drift_is_an_alert_that_ends_with_the_next_clean_run(make_job: MakeJob) -> None:
    succeed(make_job, bound=1000, cost=700)
    SpendWindow.objects.filter(scope="feature").update(held_micro=5)
    assert "1 windows differed" in tasks.reconcile()
    assert Alert.objects.get(kind="drift").closed_at is None
    assert not CheckRun.objects.get(name="control.reconcile").ok
    tasks.reconcile()
    assert Alert.objects.get(kind="drift").closed_at is not None
    assert CheckRun.objects.get(name="control.reconcile").ok


def test_a_spent_budget_is_alerted_once(
    make_job: MakeJob, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "EVALS_DAILY_BUDGET_USD": Decimal(0)}
    for slug in registry.slugs():
        cap = "0.05" if slug == "summarize" else "0.01"
        FeatureControl.objects.create(feature=slug, daily_budget_usd=cap)
    succeed(make_job, bound=45_000, cost=44_000)
    for _ in range(2):
        tasks.check_budgets()
        alerts.notify()
    found = [r.getMessage() for r in caplog.records if "alert budget_reached" in r.getMessage()]
    # The cap of everything is the sum of the features' caps, so it is used up as well.
    assert len(found) == 2
    assert "(summarize day)" in found[0]
    assert "(_everything day)" in found[1]
    assert all("deploy/runbooks/budgets.md" in text for text in found)
    FeatureControl.objects.update(daily_budget_usd=5)
    effective.cache.clear()
    for _ in range(2):
        tasks.check_budgets()
        alerts.notify()
    over = [r for r in caplog.records if "(summarize day) is over" in r.getMessage()]
    assert len(over) == 1
    assert budgets.check().ok


def test_each_kind_of_alert_has_its_runbook() -> None:
    for page in set(alerts.RUNBOOKS.values()):
        assert (RUNBOOKS / f"{page}.md").is_file()


def test_an_alert_of_an_unknown_kind_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    for kind in ("unheard_of", "drift"):
        alerts.begin(kind, "x", "Something.")
    assert alerts.notify() == 2
    assert [kind in caplog.text for kind in ("unheard_of", "drift")] == [True, True]
    assert alerts.notify() == 0


def test_an_unapproved_answer_is_spend_and_no_charge(make_job: MakeJob) -> None:
    running = claim(make_job())
    done = Settlement(begin(running), AttemptState.SETTLED, cost_micro=600)
    transitions.await_approval(
        running, {"summary": "S"}, reason="A refund.", expires_s=60, settlement=done
    )
    transitions.cancel(running.job, user_id=running.user_id, message="You did.")
    assert Job.objects.get().charge_micro == 0
    windows = SpendWindow.objects.values_list("scope", "spent_micro", "own_spend_micro")
    assert sorted(windows) == [
        *[("account", 0, 600), ("feature", 600, 0), ("global", 600, 0), ("month", 600, 0)],
        ("user", 0, 600),
    ]
    assert reconciliation.reconcile(today(), repair=True) == []
