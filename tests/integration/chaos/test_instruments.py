"""The chaos harness records each change of the database, in order, with its transaction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now

from aifeature import registry
from aifeature.models import (
    FeatureControl,
    Job,
    RateOverride,
    SpendWindow,
    Status,
    transitions,
)
from aifeature.models.ledger import AttemptState
from aifeature.models.transitions import Settlement
from aifeature.services.alerting import alerts
from aifeature.services.controls import effective
from tests.chaos import instruments
from tests.chaos.caps import settled_micro
from tests.chaos.evidence import from_database, from_logs, from_provider
from tests.integration.job_rows import MakeCall, MakeJob, begin, claim

if TYPE_CHECKING:
    import psycopg


@pytest.fixture
def watched(db: None) -> psycopg.Connection:
    connection.ensure_connection()
    raw = cast("psycopg.Connection", connection.connection)
    instruments.install(raw)
    return raw


@pytest.fixture
def capped(db: None) -> None:
    FeatureControl.objects.create(
        feature="summarize", daily_budget_usd="0.01", user_daily_budget_usd="1"
    )
    FeatureControl.objects.create(
        feature="_everything", daily_budget_usd="0.02", monthly_budget_usd="0.03"
    )


def test_a_job_life_is_recorded(
    watched: psycopg.Connection, capped: None, make_job: MakeJob
) -> None:
    job = make_job(idempotency_key="k")
    first = claim(job, worker="llm-1@host/7")
    lost = begin(first, bound=900)
    Job.objects.filter(pk=job.pk).update(lease_until="2000-01-01T00:00:00Z")
    second = claim(job, worker="llm-2@host/8")
    good = begin(second, bound=800)
    settled = Settlement(good, AttemptState.SETTLED, cost_micro=130, input_tokens=5)
    transitions.finish(second, Status.SUCCEEDED, result={"summary": "A."}, settlement=settled)
    found = from_database(watched)

    moves = [
        (change.thing, change.id, change.old_state, change.state, change.old_epoch, change.epoch)
        for change in found["changes"]
        if change.old_state != change.state or change.old_epoch != change.epoch
    ]
    one = str(job.pk)
    assert moves[:6] == [
        ("job", one, None, "queued", None, 0),
        ("job", one, "queued", "running", 0, 1),
        ("attempt", str(lost), None, "started", None, 1),
        ("job", one, "running", "running", 1, 2),
        ("attempt", str(lost), "started", "unknown", 1, 1),
        ("attempt", str(good), None, "started", None, 2),
    ]
    assert set(moves[6:]) == {
        ("job", one, "running", "succeeded", 2, 2),
        ("attempt", str(good), "started", "settled", 2, 2),
    }
    assert len({change.tx for change in found["changes"]}) == 1  # the test's own
    taken_over = next(c for c in found["changes"] if (c.old_epoch, c.epoch) == (1, 2))
    assert (taken_over.old_worker, taken_over.worker) == ("llm-1@host/7", "llm-2@host/8")
    assert {"epoch", "worker", "lease_until"} <= set(taken_over.changed)

    (row,) = found["jobs"]
    assert (row.key, row.status, row.charge_micro, row.epoch) == ("k", "succeeded", 130, 2)
    assert [(a.id, a.state) for a in found["attempts"]] == [
        (str(lost), "unknown"),
        (str(good), "settled"),
    ]
    windows: dict[str, Any] = {window.scope: window for window in found["windows"]}
    assert (windows["global"].spent_micro, windows["global"].cap_micro) == (1_030, 20_000)
    # The lost call counts its bound while the next one is held.
    assert windows["global"].peak_micro == 1_700
    assert windows["user"].spent_micro == 130
    assert {scope: window.over_micro for scope, window in windows.items()} == {
        "user": 900 - 1_000_000,
        "account": 0,  # its charges have no cap
        "feature": 1_700 - 10_000,
        "global": 1_700 - 20_000,
        "month": 1_700 - 30_000,
    }
    assert found["drifts"] == []


def test_an_excess_over_a_cap_is_kept(
    watched: psycopg.Connection, capped: None, make_job: MakeJob
) -> None:
    begin(claim(make_job()), bound=10_500)
    FeatureControl.objects.filter(feature="summarize").update(daily_budget_usd=5)
    begin(claim(make_job()))
    (window,) = (each for each in from_database(watched)["windows"] if each.scope == "feature")
    assert (window.over_micro, window.cap_micro) == (500, 5_000_000)


def test_a_feature_whose_cap_no_operator_set_has_that_of_its_code(
    watched: psycopg.Connection, capped: None
) -> None:
    """Such as one that pays for a probe and has no jobs."""
    for key in ("answer", "summarize"):
        SpendWindow.objects.create(scope="feature", key=key, day=Now(), spent_micro=7)
    windows = {window.key: window for window in from_database(watched)["windows"]}
    limit = registry.get("answer").limits.daily_budget_usd
    assert limit is not None
    assert windows["answer"].cap_micro == limit * 1_000_000
    assert windows["answer"].over_micro == 7 - limit * 1_000_000
    assert windows["summarize"].cap_micro == 10_000


def test_drifts_caps_and_alerts_are_found(
    watched: psycopg.Connection, make_job: MakeJob, ada: User
) -> None:
    begin(claim(make_job()), bound=900)
    SpendWindow.objects.filter(scope="user").update(held_micro=1_000)
    effective.change("_everything", {"monthly_budget_usd": 3}, reason="r", user_id=ada.pk)
    alerts.begin("drift", "windows", "One differed.")
    found = from_database(watched)
    assert [(d.scope, d.held_micro) for d in found["drifts"]] == [("user", 100)]
    assert [(cap.scope, cap.micro) for cap in found["caps"]] == [("month", 3_000_000)]
    assert [alert.summary for alert in found["alerts"]] == ["One differed."]


def test_excess_own_spend_is_kept(watched: psycopg.Connection, capped: None, ada: User) -> None:
    day = Now()
    places = [("user", f"summarize:{ada.pk}"), ("account", str(ada.pk)), ("global", "")]
    for scope, key in places:
        SpendWindow.objects.create(scope=scope, key=key, day=day, own_spend_micro=2_000_007)
    SpendWindow.objects.update(own_spend_micro=5)
    windows = {window.scope: window for window in from_database(watched)["windows"]}
    own = {scope: (w.own_spend_micro, w.own_over_micro) for scope, w in windows.items()}
    assert own == {"user": (5, 7), "account": (5, 7), "global": (5, None)}


def test_estimated_spend_raises_no_cap(watched: psycopg.Connection, make_call: MakeCall) -> None:
    make_call(AttemptState.SETTLED, cost_micro=130)
    make_call(AttemptState.ESTIMATED, cost_micro=900)
    for state in (AttemptState.UNKNOWN, AttemptState.STARTED, AttemptState.FAILED):
        make_call(state)
    assert settled_micro(watched) == 130


def test_changes_by_checks_are_found(watched: psycopg.Connection, ada: User, bob: User) -> None:
    effective.change("summarize", {"percent": 5}, reason="r", user_id=ada.pk)
    effective.change("summarize", {"percent": 6}, reason="r", check_name="seed")
    effective.change("summarize", {"killed": True}, reason="Dear.", check_name="cost_spike")
    RateOverride.objects.create(user=ada, reason="r", requests_per_minute=1, created_by=bob)
    RateOverride.objects.create(user=bob, reason="r", requests_per_minute=1, check_name="c")
    found = from_database(watched)
    assert [(t.slug, t.field, t.new, t.check) for t in found["trips"]] == [
        ("summarize", "killed", "True", "cost_spike")
    ]
    assert found["throttled"] == [bob.pk]


def test_the_bill_of_a_call_is_read_from_the_record(tmp_path: Path) -> None:
    call = {
        "request_id": "req-1", "attempt_id": "a", "started_at": 1.0, "ended_at": 2.0,
        "status": 200, "outcome": "client_gone", "fault": None, "usage": {"output_tokens": 3},
        "model": "claude-haiku-5-5", "path": "/v1/messages",
    }  # fmt: skip
    record = tmp_path / "provider.jsonl"
    lines = [
        call,
        {**call, "request_id": "req-2", "billed": {"output_tokens": 9}},
        {**call, "request_id": "req-3", "billed": None},
    ]
    record.write_text("\n".join(json.dumps(line) for line in lines))
    first, second, refusal = from_provider(record)
    assert (first.billed, second.billed) == ({"output_tokens": 3}, {"output_tokens": 9})
    assert refusal.billed is None
    assert (first.model, first.usage) == ("claude-haiku-5-5", {"output_tokens": 3})


def test_the_opening_of_a_breaker_is_read_from_the_log(tmp_path: Path) -> None:
    (tmp_path / "llm-1.1.log").write_text(
        "2026-11-22T07:06:47.319Z WARNING workers.inference.rate_gate breaker of claude-haiku-5-5:"
        " closed -> open (10 calls: 10 failed, 0 slow)\n"
        "2026-11-22T07:07:02.319Z WARNING workers.inference.rate_gate breaker of claude-haiku-5-5:"
        " open -> half_open (0 calls: 0 failed, 0 slow)\n"
    )
    (opened,) = from_logs(tmp_path)
    assert (opened.model, opened.at) == ("claude-haiku-5-5", 1795331207.319)
