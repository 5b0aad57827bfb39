"""Provider calls without a job follow the same caps and switches."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.db.models.functions import Now

from aifeature import prompts, registry
from aifeature.models import UNSURE, Attempt, FeatureControl, SpendWindow, functions, heartbeats
from aifeature.models import calls as rows
from aifeature.models.functions import Rows
from aifeature.models.heartbeats import Owner
from aifeature.models.transitions import AttemptRefusedError, Caps
from aifeature.services.controls import effective
from aifeature.services.dispatch import recovery
from aifeature.services.execution import calls, ledger
from aifeature.spec import Purpose
from tests.integration.execution.conftest import wait_for
from tests.integration.job_rows import MakeJob, begin, claim
from tests.sandbox_server import SandboxServer
from workers.inference import (
    Cancelled,
    InferenceRequest,
    Message,
    NotPriced,
    Overloaded,
    TextBlock,
)

pytestmark = [pytest.mark.usefixtures("committed")]

FEATURE = registry.get("summarize")
PROMPT = prompts.get("summarize", "v3")


def request(model: str = "claude-haiku-5-5") -> InferenceRequest:
    return InferenceRequest(
        attempt_id=uuid4(),
        model=model,
        system=(TextBlock("Score the answer."),),
        messages=(Message("user", (TextBlock("The refund is paid within 30 days."),)),),
        max_tokens=200,
        output_schema=FEATURE.output_schema,
        stream=False,
    )


def pay(sent: InferenceRequest, purpose: Purpose = Purpose.JUDGE) -> None:
    calls.call(FEATURE, sent, purpose=purpose, prompt=PROMPT)


def amounts() -> dict[str, tuple[int, int]]:
    return {w.scope: (w.spent_micro, w.held_micro) for w in SpendWindow.objects.all()}


@pytest.mark.parametrize(
    "purpose", [Purpose.CHUNK, Purpose.MODERATION, Purpose.JUDGE, Purpose.POC, Purpose.EVAL]
)
def test_a_jobless_call_is_paid_by_its_feature(sandbox: SandboxServer, purpose: Purpose) -> None:
    sent = request()
    pay(sent, purpose)
    row = Attempt.objects.get(pk=sent.attempt_id)
    assert (row.purpose, row.state, row.job_id, row.user_id) == (purpose, "settled", None, None)
    assert 0 < row.cost_micro <= row.bound_micro
    assert amounts() == dict.fromkeys(("feature", "global", "month"), (row.cost_micro, 0))
    (call,) = sandbox.ended_calls(str(sent.attempt_id))
    assert call["outcome"] == "completed"


def test_a_failed_jobless_call_is_in_the_ledger(sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "overloaded"})
    with pytest.raises(Overloaded):
        pay(request())
    row = Attempt.objects.get()
    assert (row.state, row.error_code) == ("failed", "overloaded")
    assert set(amounts().values()) == {(0, 0)}


def test_a_model_without_a_price_is_refused_unsent(sandbox: SandboxServer) -> None:
    with pytest.raises(NotPriced, match="claude-unheard-of"):
        pay(request("claude-unheard-of"))
    assert not Attempt.objects.exists()
    assert sandbox.calls() == []


@pytest.mark.parametrize(
    ("slug", "values", "verdict"),
    [
        ("summarize", {"daily_budget_usd": 0}, "budget_spent feature"),
        ("_everything", {"daily_budget_usd": 0}, "budget_spent global"),
        ("_everything", {"monthly_budget_usd": 0}, "budget_spent month"),
        ("summarize", {"killed": True}, "paused"),
        ("_everything", {"killed": True}, "paused"),
    ],
)
def test_caps_and_switches_hold(
    sandbox: SandboxServer, slug: str, values: dict[str, Any], verdict: str
) -> None:
    FeatureControl.objects.create(feature=slug, **values)
    effective.cache.clear()
    with pytest.raises(AttemptRefusedError, match=verdict):
        pay(request())
    assert not Attempt.objects.exists()
    assert not SpendWindow.objects.exists()
    assert sandbox.calls() == []


@pytest.mark.parametrize("outages", [0, 1])
def test_a_switch_aborts_a_jobless_call(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, outages: int
) -> None:
    """The database may be away during one heartbeat before."""
    errors, look = [OperationalError("away")] * outages, heartbeats.paused

    def paused(ask: Rows, owners: Collection[Owner]) -> set[Owner]:
        if errors:
            raise errors.pop()
        return look(ask, owners)

    monkeypatch.setattr(heartbeats, "paused", paused)
    sandbox.set_faults({"kind": "stall"})
    sent, ended = request(), threading.Event()
    reasons: list[str] = []

    def run() -> None:
        try:
            pay(sent)
        except Cancelled as error:
            reasons.append(error.reason)
        ended.set()

    threading.Thread(target=run).start()
    wait_for(lambda: bool(sandbox.calls()))
    FeatureControl.objects.create(feature="summarize", killed=True)
    assert ended.wait(20)
    assert reasons == ["paused"]
    row = Attempt.objects.get()
    assert row.state in UNSURE  # estimated, if the answer had begun
    assert row.error_code == "cancelled"
    assert amounts()["global"] == (row.spend_micro, 0)


def entered(purpose: Purpose = Purpose.JUDGE) -> UUID:
    """Begin a call in the ledger."""
    sent = request()
    row = replace(ledger.opened(sent, purpose=purpose, prompt=PROMPT), bound_micro=500)
    rows.begin("summarize", row, Caps())
    return sent.attempt_id


def age_call(attempt: UUID, *, seconds: float = recovery.LOST_CALL_S + 1) -> None:
    """Set the begin of a call into the past, which the guards would refuse."""
    old = Now() - timedelta(seconds=seconds)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE aifeature_attempt DISABLE TRIGGER attempt_guard")
        Attempt.objects.filter(pk=attempt).update(started_at=old)
        cursor.execute("ALTER TABLE aifeature_attempt ENABLE TRIGGER attempt_guard")


@pytest.mark.parametrize(
    ("switch", "is_stopped"),
    [
        ({"feature": "summarize", "killed": True}, True),
        ({"feature": "_everything", "killed": True}, True),
        ({"feature": "triage", "killed": True}, False),
        ({"feature": "summarize", "killed": False}, False),
    ],
)
def test_a_switch_stops_the_calls_of_its_feature(switch: dict[str, Any], is_stopped: bool) -> None:
    FeatureControl.objects.create(**switch)
    mine = ("summarize", None)
    assert heartbeats.paused(functions.rows, [mine]) == ({mine} if is_stopped else set())


def test_a_partial_release_lets_jobless_calls_go_on() -> None:
    FeatureControl.objects.create(feature="summarize", release_percent=0)
    mine, of_a_user = ("summarize", None), ("summarize", 1)
    assert heartbeats.paused(functions.rows, [mine, of_a_user]) == {of_a_user}


def test_a_lost_jobless_call_becomes_unknown() -> None:
    lost, recent = entered(Purpose.EVAL), entered()
    age_call(lost)
    recovery.sweep()
    assert dict(Attempt.objects.values_list("pk", "state")) == {lost: "unknown", recent: "started"}
    assert amounts()["feature"] == (500, 500)


def test_a_lost_probe_becomes_unknown_after_a_minute() -> None:
    """Otherwise its spend would be held, against the caps, for a quarter of an hour."""
    probe, recent, judge = entered(Purpose.PROBE), entered(Purpose.PROBE), entered()
    age_call(probe, seconds=61)
    age_call(recent, seconds=calls.PROBE_S + settings.AIFEATURE["LEASE_S"])
    age_call(judge, seconds=61)
    recovery.sweep()
    assert dict(Attempt.objects.values_list("pk", "state")) == {
        probe: "unknown",
        recent: "started",
        judge: "started",
    }


def test_an_old_call_of_a_job_is_left_to_its_worker(make_job: MakeJob) -> None:
    call = begin(claim(make_job()))
    age_call(call)
    recovery.sweep()
    assert Attempt.objects.get(pk=call).state == "started"
