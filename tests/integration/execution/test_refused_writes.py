"""The database refuses to store the end of a call: no outage, and no second call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import InternalError, OperationalError
from psycopg import errors as psycopg_errors

from aifeature import prompts, registry
from aifeature.models import Attempt, SpendWindow, Status, transitions
from aifeature.services.execution import calls, output
from aifeature.spec import Purpose
from tests.integration.execution.conftest import refusing
from tests.integration.execution.test_job_run import ARTICLE, held, run, summarise
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer
from workers.inference import InferenceRequest, Message, TextBlock

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "live_prompt", "sandbox")]

REFUSALS = ("22001", "22003", "22021", "22P02", "22P05", "23502", "23503", "23505", "23514")
OTHERS = ("23000", "54000", "P0001")
"""Data errors, violated constraints, a row that is too large, and a trigger's own refusal."""

CONTENT = "NEW.output <> ''"
"""The row has text from the provider."""

END = "NEW.state <> 'started'"
SETTLED = "NEW.state = 'settled'"


@pytest.mark.parametrize("code", [*REFUSALS, *OTHERS])
@pytest.mark.parametrize(
    ("table", "when", "state"),
    [
        ("aifeature_attempt", CONTENT, "settled"),
        ("aifeature_attempt", SETTLED, "unknown"),
        ("aifeature_job", "NEW.result IS NOT NULL", "settled"),
        ("aifeature_job", "NEW.charge_micro > 0", "settled"),
    ],
    ids=["content", "figures", "result", "charge"],
)
def test_an_unstorable_answer_ends_its_job(
    make_job: MakeJob,
    sandbox: SandboxServer,
    caplog: pytest.LogCaptureFixture,
    *,
    table: str,
    when: str,
    state: str,
    code: str,
) -> None:
    with refusing(f"UPDATE ON {table}", when, code):
        job = summarise(make_job)
        run(job)
    assert (job.status, job.error_code) == (Status.FAILED, "answer_garbled")
    assert (job.charge_micro, job.result) == (0, None)
    row = Attempt.objects.get(job=job)
    assert (row.state, row.error_code) == (state, "answer_garbled")
    assert code in row.error_detail
    assert len(sandbox.calls()) == 1
    assert held() == {0}
    assert SpendWindow.objects.get(scope="global").spent_micro == row.spend_micro
    assert code in caplog.text
    assert "canary" not in caplog.text + row.error_detail


def test_a_call_that_stores_nothing_ends_its_job(make_job: MakeJob, sandbox: SandboxServer) -> None:
    with refusing("UPDATE ON aifeature_attempt", "NEW.error_code <> 'run_failed'", "23514"):
        job = summarise(make_job)
    assert (job.status, job.error_code) == (Status.FAILED, "answer_garbled")
    assert Attempt.objects.get(job=job).state == "unknown"
    assert len(sandbox.calls()) == 1


@pytest.mark.parametrize("code", ["22P05", "23514"])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "malformed_output"},
        {"kind": "stream_truncated"},
        {"kind": "refusal", "after_events": 0},
    ],
    ids=["before a repair", "before another try", "before the next model"],
)
def test_an_unstorable_call_is_the_last(
    make_job: MakeJob, sandbox: SandboxServer, fault: dict[str, Any], code: str
) -> None:
    sandbox.set_faults(fault)
    when = f"{END} AND NEW.error_code <> 'answer_garbled'"
    with refusing("UPDATE ON aifeature_attempt", when, code):
        job = summarise(make_job)
    assert (job.status, job.error_code) == (Status.FAILED, "answer_garbled")
    assert len(sandbox.calls()) == 1
    assert held() == {0}


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_a_result_that_is_no_json_value_ends_its_job(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    """The database refuses the first value. The second one never reaches it."""
    monkeypatch.setattr(output, "validate", lambda *_: {"share": value})
    job = summarise(make_job)
    assert (job.status, job.error_code) == (Status.FAILED, "answer_garbled")
    assert Attempt.objects.get(job=job).state == "settled"
    assert len(sandbox.calls()) == 1


@pytest.mark.parametrize(
    "error",
    [
        InternalError("cannot execute UPDATE in a read-only transaction"),
        OperationalError("the database system is shutting down"),
    ],
    ids=["read only", "shutting down"],
)
def test_an_outage_is_no_refusal(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failing(monkeypatch, "finish", iter([True]), error)
    assert summarise(make_job).status == Status.SUCCEEDED
    assert len(sandbox.calls()) == 1


def failing(
    monkeypatch: pytest.MonkeyPatch,
    transition: str,
    fails: Iterator[bool],
    error: Exception | None = None,
) -> None:
    """Let the database take no writes in this transition as long as `fails` yields True."""
    write = getattr(transitions, transition)
    error = error or OperationalError("cannot execute UPDATE in a read-only transaction")
    error.__cause__ = psycopg_errors.ReadOnlySqlTransaction()

    def tried(*arguments: Any, **more: Any) -> Any:
        if next(fails, False):
            raise error
        return write(*arguments, **more)

    monkeypatch.setattr(transitions, transition, tried)


@pytest.mark.parametrize("transition", ["finish", "settle"])
def test_an_answer_outlives_a_lease(
    make_job: MakeJob,
    sandbox: SandboxServer,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    transition: str,
) -> None:
    """No other worker can take the run over meanwhile, since that is a write as well."""
    settings.AIFEATURE = {**settings.AIFEATURE, "LEASE_S": 0.2}

    def only_reads() -> Iterator[bool]:
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            yield True

    failing(monkeypatch, transition, only_reads())
    if transition == "settle":
        sandbox.set_faults({"kind": "malformed_output", "times": 1})
    job = summarise(make_job)
    assert (job.status, job.epoch, job.tries) == (Status.SUCCEEDED, 1, 0)
    assert len(sandbox.calls()) == (2 if transition == "settle" else 1)


def test_a_lost_reply_costs_no_call(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_faults({"kind": "malformed_output", "times": 1})
    store, replies = transitions.settle, iter([OperationalError("the connection is lost")])

    def stored(*arguments: Any) -> None:
        store(*arguments)
        for lost in replies:
            raise lost

    monkeypatch.setattr(transitions, "settle", stored)
    job = summarise(make_job)
    assert (job.status, job.epoch, job.tries) == (Status.SUCCEEDED, 1, 0)
    assert len(sandbox.calls()) == 2
    spent = {window.scope: window.spent_micro for window in SpendWindow.objects.all()}
    assert spent["feature"] == sum(call.cost_micro for call in Attempt.objects.filter(job=job))


def test_a_repair_waits_for_the_database(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_faults({"kind": "malformed_output", "times": 1})
    failing(monkeypatch, "begin_attempt", iter([False, True, True]))
    job = summarise(make_job)
    assert (job.status, job.epoch, job.tries) == (Status.SUCCEEDED, 1, 0)
    assert len(sandbox.calls()) == 2


@pytest.mark.parametrize("scope", ["user", "account", "feature", "global", "month"])
def test_a_wrong_window_loses_no_result(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    """Less is held than the call reserved, and a constraint refuses negative amounts."""
    finish = transitions.finish

    def after_loss(*arguments: Any, **more: Any) -> None:
        SpendWindow.objects.filter(scope=scope).update(held_micro=0, spent_micro=0)
        finish(*arguments, **more)

    monkeypatch.setattr(transitions, "finish", after_loss)
    job = summarise(make_job)
    assert job.status == Status.SUCCEEDED
    assert held() == {0}
    assert len(sandbox.calls()) == 1


def test_a_jobless_call_keeps_its_answer(opened: None) -> None:
    feature = registry.get("summarize")
    request = InferenceRequest(
        attempt_id=uuid4(),
        model="claude-haiku-5-5",
        system=(),
        messages=(Message("user", (TextBlock(ARTICLE),)),),
        max_tokens=100,
    )
    with refusing("UPDATE ON aifeature_attempt", CONTENT, "22P05"):
        result = calls.call(
            feature, request, purpose=Purpose.EVAL, prompt=prompts.get("summarize", "v3")
        )
    assert result.text
    row = Attempt.objects.get()
    assert (row.state, row.error_code) == ("unknown", "answer_garbled")
    assert held() == {0}
