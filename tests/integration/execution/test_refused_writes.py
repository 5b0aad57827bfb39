"""The database answers and refuses to store how a call ended: no outage, and not paid for again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from django.db import InternalError, OperationalError, connection
from psycopg import errors as psycopg_errors

from aifeature import prompts, registry
from aifeature.models import Attempt, Job, SpendWindow, Status, transitions
from aifeature.services.execution import calls, output
from aifeature.spec import Purpose
from tests.integration.execution.test_job_run import ARTICLE, held, run
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer
from workers.inference import InferenceRequest, Message, TextBlock

pytestmark = [pytest.mark.usefixtures("committed")]

REFUSALS = ("22001", "22003", "22021", "22P02", "22P05", "23502", "23503", "23505", "23514")
OTHERS = ("23000", "54000", "P0001")
"""Data errors, violated constraints, a row that is too large, and a trigger's own refusal."""

CONTENT = "NEW.output <> ''"
"""The content of a call: text that came from the provider."""

END = "NEW.state <> 'started'"
SETTLED = "NEW.state = 'settled'"


@contextmanager
def refusing(table: str, when: str, code: str) -> Iterator[None]:
    """The database refuses each update of this table for which `when` holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse_it() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE 'refused: canary' USING ERRCODE = '{code}'; END $$"
        )
        cursor.execute(
            f"CREATE TRIGGER refuse_it BEFORE UPDATE ON {table} "
            f"FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse_it()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse_it CASCADE")


def summarise(make_job: MakeJob, **values: Any) -> Job:
    return run(make_job(input={"document": ARTICLE}, **values))


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
def test_an_answer_that_cannot_be_stored_ends_its_job_after_one_call(
    make_job: MakeJob,
    sandbox: SandboxServer,
    caplog: pytest.LogCaptureFixture,
    *,
    table: str,
    when: str,
    state: str,
    code: str,
) -> None:
    with refusing(table, when, code):
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


def test_a_call_whose_row_takes_nothing_at_all_cannot_keep_its_job(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    """A call whose own end is refused as garbled is closed with its job, at its bound."""
    with refusing("aifeature_attempt", "NEW.error_code <> 'run_failed'", "23514"):
        job = summarise(make_job)
    assert (job.status, job.error_code) == (Status.FAILED, "answer_garbled")
    assert Attempt.objects.get(job=job).state == "unknown"
    assert len(sandbox.calls()) == 1


@pytest.mark.parametrize("code", ["22P05", "23514"])
@pytest.mark.parametrize(
    ("fault", "status", "error_code"),
    [
        ({"kind": "malformed_output"}, Status.FAILED, "answer_garbled"),
        ({"kind": "stream_truncated"}, Status.FAILED, "answer_garbled"),
        ({"kind": "refusal", "after_events": 0}, Status.FAILED, "answer_garbled"),
    ],
    ids=["before a repair", "before another try", "before the next model"],
)
def test_a_call_that_cannot_be_stored_is_the_last_one_of_its_job(
    make_job: MakeJob,
    sandbox: SandboxServer,
    fault: dict[str, Any],
    status: Status,
    error_code: str,
    code: str,
) -> None:
    sandbox.set_faults(fault)
    with refusing("aifeature_attempt", f"{END} AND NEW.error_code <> 'answer_garbled'", code):
        job = summarise(make_job)
    assert (job.status, job.error_code) == (status, error_code)
    assert len(sandbox.calls()) == 1
    assert held() == {0}


def test_an_answer_that_is_no_json_value_ends_its_job_after_one_call(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "validate", lambda *_: {"share": float("nan")})
    job = summarise(make_job)
    assert (job.status, job.error_code) == (Status.FAILED, "answer_garbled")
    assert Attempt.objects.get(job=job).state == "settled"
    assert len(sandbox.calls()) == 1


def test_a_value_that_never_reaches_the_database_ends_its_job_after_one_call(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "validate", lambda *_: {"share": object()})
    job = summarise(make_job)
    assert (job.status, job.error_code) == (Status.FAILED, "answer_garbled")
    assert len(sandbox.calls()) == 1


@pytest.mark.parametrize(
    "error",
    [
        InternalError("cannot execute UPDATE in a read-only transaction"),
        OperationalError("the database system is shutting down"),
    ],
    ids=["read only", "shutting down"],
)
def test_an_outage_is_waited_out_and_is_no_refusal(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    error.__cause__ = psycopg_errors.ReadOnlySqlTransaction()
    finish, failures = transitions.finish, [error]

    def once(*arguments: Any, **more: Any) -> None:
        if failures:
            raise failures.pop()
        finish(*arguments, **more)

    monkeypatch.setattr(transitions, "finish", once)
    assert summarise(make_job).status == Status.SUCCEEDED
    assert len(sandbox.calls()) == 1


def turned_away() -> OperationalError:
    error = OperationalError("cannot execute UPDATE in a read-only transaction")
    error.__cause__ = psycopg_errors.ReadOnlySqlTransaction()
    return error


def failing(write: Callable[..., Any], *, while_: Callable[[], bool]) -> Callable[..., Any]:
    """The same transition, which the database takes no more for a while."""

    def tried(*arguments: Any, **more: Any) -> Any:
        if while_():
            raise turned_away()
        return write(*arguments, **more)

    return tried


@pytest.mark.parametrize("transition", ["finish", "settle"])
def test_an_answer_is_kept_for_longer_than_a_lease_lasts(
    make_job: MakeJob,
    sandbox: SandboxServer,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    transition: str,
) -> None:
    """Nobody else can take the run over meanwhile: that would be a write as well."""
    settings.AIFEATURE = {**settings.AIFEATURE, "LEASE_S": 0.2}
    began: list[float] = []

    def only_reads() -> bool:
        began.append(time.monotonic())
        return began[-1] - began[0] < 0.6

    write = getattr(transitions, transition)
    monkeypatch.setattr(transitions, transition, failing(write, while_=only_reads))
    if transition == "settle":
        sandbox.set_faults({"kind": "malformed_output", "times": 1})
    job = summarise(make_job)
    assert (job.status, job.epoch, job.tries) == (Status.SUCCEEDED, 1, 0)
    assert len(sandbox.calls()) == (2 if transition == "settle" else 1)


def test_an_end_whose_reply_was_lost_is_stored_again_and_no_call_is_paid_again(
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


def test_a_second_call_waits_for_the_database_and_the_first_is_not_paid_again(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_faults({"kind": "malformed_output", "times": 1})
    tries = iter([False, True, True])
    monkeypatch.setattr(
        transitions,
        "begin_attempt",
        failing(transitions.begin_attempt, while_=lambda: next(tries, False)),
    )
    job = summarise(make_job)
    assert (job.status, job.epoch, job.tries) == (Status.SUCCEEDED, 1, 0)
    assert len(sandbox.calls()) == 2


@pytest.mark.parametrize("scope", ["user", "account", "feature", "global", "month"])
def test_a_window_that_is_wrong_costs_no_job_its_result(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    """Less is held than the call reserved: its constraint would refuse to go below zero."""
    finish = transitions.finish

    def after_loss(*arguments: Any, **more: Any) -> None:
        SpendWindow.objects.filter(scope=scope).update(held_micro=0, spent_micro=0)
        finish(*arguments, **more)

    monkeypatch.setattr(transitions, "finish", after_loss)
    job = summarise(make_job)
    assert job.status == Status.SUCCEEDED
    assert held() == {0}
    assert len(sandbox.calls()) == 1


def test_a_call_of_no_job_keeps_its_answer_if_its_end_is_refused(
    sandbox: SandboxServer, opened: None
) -> None:
    feature = registry.get("summarize")
    request = InferenceRequest(
        attempt_id=uuid4(),
        model="claude-haiku-5-5",
        system=(),
        messages=(Message("user", (TextBlock(ARTICLE),)),),
        max_tokens=100,
    )
    with refusing("aifeature_attempt", CONTENT, "22P05"):
        result = calls.call(
            feature, request, purpose=Purpose.EVAL, prompt=prompts.get("summarize", "v3")
        )
    assert result.text
    row = Attempt.objects.get()
    assert (row.state, row.error_code) == ("unknown", "answer_garbled")
    assert held() == {0}
