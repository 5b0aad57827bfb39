"""Two hundred concurrent jobs keep a cap of a dollar, can use all of it, and leak nothing."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from aifeature.models import (
    Attempt,
    AttemptState,
    SpendWindow,
    Status,
    fair_queue,
    reconciliation,
    transitions,
)
from aifeature.models.transitions import AttemptRefusedError, Caps, Claimed, Settlement
from tests.integration.job_rows import MakeJob, age, begin, claim

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed")]

JOBS = 200
THREADS = 25
DOLLAR = 1_000_000
CENT = 10_000


@pytest.mark.parametrize(
    ("scope", "caps"),
    [
        ("user", Caps(user=DOLLAR)),
        ("feature", Caps(feature=DOLLAR)),
        ("global", Caps(everything=DOLLAR)),
        ("month", Caps(month=DOLLAR)),
    ],
)
def test_a_dollar_is_a_dollar(make_job: MakeJob, scope: str, caps: Caps) -> None:
    running = [claim(make_job()) for _ in range(JOBS)]
    refusals: list[str] = []
    peak = Peak(scope)

    def run(claimed: Claimed) -> None:
        try:
            call = begin(claimed, bound=5 * CENT, caps=caps)
        except AttemptRefusedError as refused:
            refusals.append(refused.verdict)
            return
        finally:
            connection.close()
        peak.read()
        if (dice := random.random()) < 0.2:
            return  # its worker was killed
        state = AttemptState.SETTLED if dice < 0.8 else AttemptState.FAILED
        done = Settlement(call, state, cost_micro=CENT if state == AttemptState.SETTLED else 0)
        status = Status.SUCCEEDED if state == AttemptState.SETTLED else Status.FAILED
        transitions.finish(claimed, status, result={}, settlement=done)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(run, running))
    assert peak.most <= DOLLAR
    assert set(refusals) <= {"budget_held", "budget_spent"}

    lost = [
        attempt.job for attempt in Attempt.objects.filter(state="started").select_related("job")
    ]
    for job in lost:
        assert job is not None
        age(job, lease_until=timedelta(seconds=1), deadline_at=timedelta(seconds=1))
        fair_queue.end_abandoned(ends={"": {"code": "deadline_exceeded", "message": "Late."}})
    assert set(SpendWindow.objects.values_list("held_micro", flat=True)) == {0}, "a leak"
    assert reconciliation.reconcile(datetime.now(UTC).date(), repair=False) == []

    rest = DOLLAR - SpendWindow.objects.get(scope=scope).spent_micro
    begin(claim(make_job()), bound=rest, caps=caps)
    with pytest.raises(AttemptRefusedError):
        begin(claim(make_job()), bound=1, caps=caps)


class Peak:
    """The most that a window has held and spent."""

    def __init__(self, scope: str) -> None:
        self.most = 0
        self._scope = scope
        self._lock = threading.Lock()

    def read(self) -> None:
        window = SpendWindow.objects.get(scope=self._scope)
        seen = window.spent_micro + window.held_micro
        connection.close()
        with self._lock:
            self.most = max(self.most, seen)
