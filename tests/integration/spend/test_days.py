"""The day and the month of a call."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from aifeature.models import Attempt, AttemptState, SpendWindow, reconciliation, transitions
from aifeature.services.spend import reconciler, settlement
from tests.integration.job_rows import MakeCall, MakeJob, begin, claim
from tests.integration.spend.windows import today

pytestmark = pytest.mark.django_db

MONTH = Path(settings.BASE_DIR) / "aifeature" / "sql" / "month.sql"


def amounts() -> dict[tuple[str, date], tuple[int, int]]:
    """Return the amounts (spent, held) of each window, without zeros, by scope and day."""
    found = {(w.scope, w.day): (w.spent_micro, w.held_micro) for w in SpendWindow.objects.all()}
    return {key: both for key, both in found.items() if any(both)}


def test_a_call_belongs_to_the_day_of_its_begin(make_call: MakeCall) -> None:
    midnight = datetime.combine(today(), time(), UTC)
    for seconds, cost in ((-1, 300), (1, 500)):
        began = midnight + timedelta(seconds=seconds)
        make_call(AttemptState.SETTLED, started_at=began, day=began.date(), cost_micro=cost)
    reconciliation.reconcile(today(), repair=True)
    assert amounts() == {
        ("feature", today()): (500, 0),
        ("global", today()): (500, 0),
        ("month", today().replace(day=1)): (500, 0),
    }


def test_a_wrong_window_of_yesterday_is_fixed(make_call: MakeCall) -> None:
    """Calls of yesterday may end today."""
    yesterday = datetime.combine(today() - timedelta(days=1), time(12), UTC)
    make_call(AttemptState.SETTLED, started_at=yesterday, day=yesterday.date(), cost_micro=300)
    assert not reconciler.check().ok
    assert amounts()["feature", yesterday.date()] == (300, 0)
    assert amounts()["global", yesterday.date()] == (300, 0)
    assert reconciler.check().ok


def test_a_wrong_month_prevents_no_settlement(make_job: MakeJob) -> None:
    running = claim(make_job())
    begin(running, bound=1000)
    transitions.return_to_queue(running, delay_s=0, counts_as_try=True)
    SpendWindow.objects.filter(scope="month").update(spent_micro=5)
    call = Attempt.objects.get()
    settlement.settle_unknown(
        attempt_id=call.pk, cost_usd=Decimal("0.0001"), reason="r", user_id=None
    )
    assert amounts()["global", call.day] == (100, 0)
    (drift,) = reconciliation.reconcile(call.day, repair=True)
    assert drift.scope == "month"
    assert amounts()["month", call.day.replace(day=1)] == (100, 0)


def test_months_begin_with_what_their_days_hold() -> None:
    for day, spent, held in ((1, 100, 5), (31, 20, 0)):
        for scope, key in (("global", ""), ("feature", "summarize")):
            SpendWindow.objects.create(
                scope=scope, key=key, day=date(2026, 1, day), spent_micro=spent, held_micro=held
            )
    SpendWindow.objects.create(scope="global", key="", day=date(2026, 2, 1), spent_micro=7)
    SpendWindow.objects.create(scope="month", key="", day=date(2026, 2, 1), spent_micro=8)
    with connection.cursor() as cursor:
        cursor.execute(MONTH.read_text(encoding="utf-8"))
    months = {day: both for (scope, day), both in amounts().items() if scope == "month"}
    assert months == {date(2026, 1, 1): (120, 5), date(2026, 2, 1): (8, 0)}
