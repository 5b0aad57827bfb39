"""Comparison of the ledger with single calls of the provider, joined by their ids."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from aifeature.models import Attempt, Job
from aifeature.services.execution import job_run
from aifeature.services.spend.settlement import settle_unknown
from tests.integration.execution.test_job_run import billed_micro
from tests.integration.job_rows import MakeJob, begin, claim
from tests.integration.privacy.retention.conftest import call, ended
from tests.integration.spend.usage.conftest import Record, only_call
from tests.sandbox_server import SandboxServer

__all__ = ["ended"]

RunJobs = Callable[[int], Record]


@pytest.fixture
def record(run_jobs: RunJobs) -> Record:
    """The record of one call, which the ledger has as well."""
    return run_jobs(1)


def test_ledger_and_provider_agree(run_jobs: RunJobs) -> None:
    record = run_jobs(3)
    compared = record.compare()
    assert compared.code == 0
    assert compared.text.startswith("3 calls from ")
    assert "agree on every one" in compared.text


def test_a_call_missing_in_the_ledger_is_listed(record: Record) -> None:
    lost = {**record.calls[0], "request_id": "req_lost", "attempt_id": str(uuid.uuid4())}
    record.calls.append(lost)
    compared = record.compare()
    assert compared.code == 1
    (line,) = [line for line in compared.text.splitlines() if "req_lost" in line]
    assert line.startswith("not in the ledger")
    assert lost["attempt_id"] in line
    assert line.endswith(f"0.000000  0.{only_call().cost_micro:06d}")
    assert f"1 not in the ledger, +$0.{only_call().cost_micro:06d}." in compared.text
    assert "1 calls differ." in compared.text


def test_a_call_without_our_header_is_found_by_its_request_id(record: Record) -> None:
    record.calls[0]["attempt_id"] = None
    assert record.compare().code == 0
    record.calls[0]["request_id"] = "req_other"
    assert "not in the ledger" in record.compare().text


def test_a_refused_call_without_cost_is_no_difference(record: Record) -> None:
    refused = {**record.calls[0], "request_id": "req_no", "attempt_id": None, "usage": None}
    record.calls.append({**refused, "status": 429, "outcome": "rejected"})
    assert record.compare().code == 0


def test_a_bill_within_the_ceiling_is_explained(sandbox: SandboxServer, run_jobs: RunJobs) -> None:
    sandbox.set_faults({"kind": "connection_cut", "times": 1, "after_events": 6})
    record = run_jobs(1)
    row = Attempt.objects.get()
    assert row.state == "estimated"
    bill = billed_micro(row.model, record.calls[0])
    assert 0 < bill < row.cost_micro
    compared = record.compare()
    assert compared.code == 0
    less = row.cost_micro - bill
    assert f"1 estimated here, billed within its ceiling, -$0.{less:06d}." in compared.text
    assert "agree on every other one" in compared.text
    record.calls[0]["usage"]["output_tokens"] = 2_000
    compared = record.compare()
    assert compared.code == 1
    assert "1 billed above what is counted, +$" in compared.text


def test_an_unbilled_refusal_is_no_difference(sandbox: SandboxServer, run_jobs: RunJobs) -> None:
    sandbox.set_faults({"kind": "refusal"})
    record = run_jobs(1)
    refused = Attempt.objects.all()
    assert {(row.state, row.cost_micro) for row in refused} == {("settled", 0)}
    assert all(row.input_tokens or row.cache_read_tokens for row in refused)
    assert record.compare().code == 0
    for each in record.calls:
        del each["billed"]  # a provider's export reports the tokens, billed or not
    assert record.compare().code == 0


def test_a_billed_failed_call_is_a_finding(sandbox: SandboxServer, run_jobs: RunJobs) -> None:
    sandbox.set_faults({"kind": "api_error", "times": 1})
    record = run_jobs(1)
    assert only_call().state == "failed"
    assert record.compare().code == 0
    usage = {"input_tokens": 1_000, "output_tokens": 100}
    record.calls[0] |= {"usage": usage, "billed": usage}
    compared = record.compare()
    assert compared.code == 1
    assert "1 failed here, billed there, +$" in compared.text


def test_a_settled_call_is_compared_by_its_cost(sandbox: SandboxServer, run_jobs: RunJobs) -> None:
    sandbox.set_faults({"kind": "connection_cut", "times": 1, "after_events": 6})
    record = run_jobs(1)
    row = Attempt.objects.get()
    micro = billed_micro(row.model, record.calls[0])
    settle_unknown(
        attempt_id=row.pk, cost_usd=Decimal(micro) / 1_000_000, reason="Report.", user_id=None
    )
    compared = record.compare()
    assert compared.code == 0
    assert "agree on every one" in compared.text


def test_an_unknown_call_is_listed_with_a_cost(sandbox: SandboxServer, run_jobs: RunJobs) -> None:
    sandbox.set_faults({"kind": "stream_truncated", "times": 1, "after_events": 0})
    record = run_jobs(1)
    row = Attempt.objects.get()
    assert (row.state, row.cost_micro) == ("unknown", 0)
    compared = record.compare()
    assert compared.code == 1
    (line,) = [line for line in compared.text.splitlines() if str(row.pk) in line]
    assert line.startswith("unknown here, known there")
    assert line.endswith(f"0.{billed_micro(row.model, record.calls[0]):06d}")
    assert "Settle each in admin" in compared.text


def test_a_call_that_never_arrived_is_listed(record: Record, make_job: MakeJob) -> None:
    job = make_job()
    lost = begin(claim(job, lease_s=-1))
    claim(job)
    job_run.run_feature(make_job().pk, worker="w")
    record.calls.append(shifted(record.calls[0], seconds=600))
    compared = record.compare()
    (line,) = [line for line in compared.text.splitlines() if str(lost) in line]
    assert line.startswith("never arrived there")
    assert line.endswith("0.001000  0.000000")


def shifted(call: dict[str, object], *, seconds: float) -> dict[str, object]:
    """Return the same call without a job, later, so that the export reaches until then."""
    later = {name: float(str(call[name])) + seconds for name in ("started_at", "ended_at")}
    return {**call, **later, "request_id": "req_later", "attempt_id": None, "usage": None}


def test_an_open_call_that_ended_there_is_listed(record: Record, make_job: MakeJob) -> None:
    attempt = begin(claim(make_job()))
    record.calls.append({**record.calls[0], "request_id": "r", "attempt_id": str(attempt)})
    assert "open here, ended there" in record.compare().text
    record.calls[-1] |= {"ended_at": None, "usage": None}
    assert record.compare().code == 0, "the call is in flight on both sides"


def tokens(kind: str) -> Callable[[dict[str, Any]], object]:
    return lambda call: call["usage"].update({kind: call["usage"][kind] + 1})


@pytest.mark.parametrize(
    "change",
    [
        tokens("input_tokens"),
        tokens("output_tokens"),
        tokens("cache_read_input_tokens"),
        tokens("cache_creation_input_tokens"),
        lambda call: call.update(model="claude-opus-5-5"),
    ],
    ids=["input", "output", "cache read", "cache write", "model"],
)
def test_model_and_each_kind_of_token_are_compared(
    record: Record, change: Callable[[dict[str, Any]], object]
) -> None:
    record.calls = copy.deepcopy(record.calls)
    change(record.calls[0])
    compared = record.compare()
    assert compared.code == 1
    assert compared.text.splitlines()[2].startswith("tokens differ")


def test_a_row_with_two_bills_is_listed(record: Record) -> None:
    record.calls.append({**record.calls[0], "request_id": "req_again"})
    compared = record.compare()
    assert "sent more than once" in compared.text
    assert f"+$0.{only_call().cost_micro:06d}" in compared.text


def test_calls_outside_the_time_of_the_export_are_no_difference(run_jobs: RunJobs) -> None:
    record = run_jobs(2)
    job = Job.objects.all()[0]
    now = job.created_at
    for at in (now - timedelta(minutes=5), now + timedelta(minutes=5), now - timedelta(days=2)):
        call(job, started_at=at, ended_at=at)
    assert record.compare().code == 0
    between = Attempt.objects.order_by("started_at")[2:4]
    middle = between[0].started_at + (between[1].started_at - between[0].started_at) / 2
    call(job, started_at=between[1].started_at - timedelta(microseconds=1), ended_at=middle)
    assert record.compare().text.count("never arrived there") == 2


def test_an_old_row_that_the_export_names_is_found(record: Record) -> None:
    old = call(Job.objects.get(), started_at=Job.objects.get().created_at - timedelta(days=2))
    usage = {"input_tokens": old.input_tokens, "output_tokens": old.output_tokens}
    record.calls.append(
        {**record.calls[0], "request_id": "r", "attempt_id": str(old.pk), "usage": usage}
    )
    assert record.compare().code == 0


def test_calls_of_another_provider_are_ignored(run_jobs: RunJobs) -> None:
    record = run_jobs(2)
    assert record.compare("--provider", "anthropic").text.count("not in the ledger  ") == 2


def test_a_model_without_a_price_is_listed_without_one(record: Record) -> None:
    record.calls.append(
        {**record.calls[0], "model": "claude-next", "request_id": "r", "attempt_id": None}
    )
    assert "no price" in record.compare().text


def test_it_only_reads(record: Record) -> None:
    record.calls.append({**record.calls[0], "request_id": "r", "attempt_id": None})
    with CaptureQueriesContext(connection) as asked:
        record.compare()
    begin, first, *rest, end = [query["sql"] for query in asked]
    assert (begin, first, end) == ("BEGIN", "SET TRANSACTION READ ONLY", "ROLLBACK")
    assert rest
    assert all(sql.startswith(("DECLARE", "SELECT")) for sql in rest)


def test_a_file_that_cannot_be_read_is_another_exit_code(record: Record) -> None:
    record.calls[0]["request_id"] = ""
    compared = record.compare()
    assert compared.code == 2
    assert "line 1: request_id" in compared.text
    assert "Fix this line or export it again." in compared.text
    record.calls[0] |= {"request_id": "r", "path": "/v1/messages/count_tokens"}
    assert record.compare().code == 2
