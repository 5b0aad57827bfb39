"""The ledger against the provider's single calls, joined by their ids and never by totals."""

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
from tests.integration.job_rows import MakeJob, begin, claim
from tests.integration.privacy.retention.conftest import call, ended
from tests.integration.spend.usage.conftest import Record, only_call
from tests.sandbox_server import SandboxServer
from workers.inference import TokenUsage, pricing

__all__ = ["ended"]

RunJobs = Callable[[int], Record]


def test_after_a_day_without_trouble_they_agree(run_jobs: RunJobs) -> None:
    record = run_jobs(3)
    compared = record.compare()
    assert compared.code == 0
    assert compared.text.startswith("3 calls from ")
    assert "agree on every one" in compared.text


def test_a_call_that_the_ledger_lost_is_listed_with_its_cost(run_jobs: RunJobs) -> None:
    record = run_jobs(1)
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


def test_a_call_without_our_header_belongs_to_its_row_by_the_requests_id(
    run_jobs: RunJobs,
) -> None:
    record = run_jobs(1)
    record.calls[0]["attempt_id"] = None
    assert record.compare().code == 0
    record.calls[0]["request_id"] = "req_other"
    assert "not in the ledger" in record.compare().text


def test_a_call_that_was_refused_and_costs_nothing_is_no_difference(run_jobs: RunJobs) -> None:
    record = run_jobs(1)
    refused = {**record.calls[0], "request_id": "req_no", "attempt_id": None, "usage": None}
    record.calls.append({**refused, "status": 429, "outcome": "rejected"})
    assert record.compare().code == 0


def bill_of(call: dict[str, Any], model: str) -> int:
    """What the provider bills for a call on its record, in micro-dollars."""
    usage = call["billed"]
    tokens = TokenUsage(
        usage["input_tokens"],
        usage["output_tokens"],
        usage["cache_read_input_tokens"],
        usage["cache_creation_input_tokens"],
    )
    return pricing.cost_micro(model, tokens)


def test_an_estimated_call_is_explained_by_a_bill_up_to_its_ceiling(
    sandbox: SandboxServer, run_jobs: RunJobs
) -> None:
    sandbox.set_faults({"kind": "connection_cut", "times": 1, "after_events": 6})
    record = run_jobs(1)
    row = Attempt.objects.get()
    assert row.state == "estimated"
    bill = bill_of(record.calls[0], row.model)
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


def test_a_refusal_that_was_not_billed_is_no_difference(
    sandbox: SandboxServer, run_jobs: RunJobs
) -> None:
    sandbox.set_faults({"kind": "refusal"})
    record = run_jobs(1)
    refused = Attempt.objects.all()
    assert {(row.state, row.cost_micro) for row in refused} == {("settled", 0)}
    assert all(row.input_tokens or row.cache_read_tokens for row in refused)
    assert record.compare().code == 0
    for each in record.calls:
        del each["billed"]  # a provider's export reports the tokens, billed or not
    assert record.compare().code == 0


def test_a_failed_call_that_was_billed_is_a_finding(
    sandbox: SandboxServer, run_jobs: RunJobs
) -> None:
    sandbox.set_faults({"kind": "api_error", "times": 1})
    record = run_jobs(1)
    assert only_call().state == "failed"
    assert record.compare().code == 0
    usage = {"input_tokens": 1_000, "output_tokens": 100}
    record.calls[0] |= {"usage": usage, "billed": usage}
    compared = record.compare()
    assert compared.code == 1
    assert "1 failed here, billed there, +$" in compared.text


def test_a_call_settled_by_hand_is_compared_by_its_cost(
    sandbox: SandboxServer, run_jobs: RunJobs
) -> None:
    sandbox.set_faults({"kind": "connection_cut", "times": 1, "after_events": 6})
    record = run_jobs(1)
    row = Attempt.objects.get()
    micro = bill_of(record.calls[0], row.model)
    settle_unknown(
        attempt_id=row.pk, cost_usd=Decimal(micro) / 1_000_000, reason="Report.", user_id=None
    )
    compared = record.compare()
    assert compared.code == 0
    assert "agree on every one" in compared.text


def test_an_unknown_call_is_listed_with_the_cost_that_settles_it(
    sandbox: SandboxServer, run_jobs: RunJobs
) -> None:
    """The whole answer was lost on the way, and billed."""
    sandbox.set_faults({"kind": "stream_truncated", "times": 1, "after_events": 0})
    record = run_jobs(1)
    row = Attempt.objects.get()
    assert (row.state, row.cost_micro) == ("unknown", 0)
    compared = record.compare()
    assert compared.code == 1
    (line,) = [line for line in compared.text.splitlines() if str(row.pk) in line]
    assert line.startswith("unknown here, known there")
    assert line.endswith(f"0.{bill_of(record.calls[0], row.model):06d}")
    assert "Settle each in admin" in compared.text


def test_an_unknown_call_that_never_arrived_was_not_billed(
    run_jobs: RunJobs, make_job: MakeJob
) -> None:
    record = run_jobs(1)
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
    """The same call, of nobody, so much later: the export reaches until then."""
    later = {name: float(str(call[name])) + seconds for name in ("started_at", "ended_at")}
    return {**call, **later, "request_id": "req_later", "attempt_id": None, "usage": None}


def test_a_call_that_is_open_here_and_ended_there_is_told(
    run_jobs: RunJobs, make_job: MakeJob
) -> None:
    record = run_jobs(1)
    attempt = begin(claim(make_job()))
    record.calls.append({**record.calls[0], "request_id": "r", "attempt_id": str(attempt)})
    assert "open here, ended there" in record.compare().text
    record.calls[-1] |= {"ended_at": None, "usage": None}
    assert record.compare().code == 0, "it is in flight on both sides"


@pytest.mark.parametrize(
    "kind",
    [
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
    ],
)
def test_each_kind_of_token_is_compared(run_jobs: RunJobs, kind: str) -> None:
    record = run_jobs(1)
    record.calls = copy.deepcopy(record.calls)
    record.calls[0]["usage"][kind] += 1
    compared = record.compare()
    assert compared.code == 1
    assert compared.text.splitlines()[2].startswith("tokens differ")


def test_another_model_is_a_difference_also_with_the_same_tokens(run_jobs: RunJobs) -> None:
    record = run_jobs(1)
    record.calls = [{**record.calls[0], "model": "claude-opus-5-5"}]
    assert "tokens differ" in record.compare().text


def test_a_row_with_two_bills_is_told(run_jobs: RunJobs) -> None:
    record = run_jobs(1)
    record.calls.append({**record.calls[0], "request_id": "req_again"})
    compared = record.compare()
    assert "sent more than once" in compared.text
    assert f"+$0.{only_call().cost_micro:06d}" in compared.text


def test_what_lies_outside_the_exports_time_is_no_difference(run_jobs: RunJobs) -> None:
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


def test_an_old_row_that_the_export_names_is_found(run_jobs: RunJobs) -> None:
    record = run_jobs(1)
    old = call(Job.objects.get(), started_at=Job.objects.get().created_at - timedelta(days=2))
    usage = {"input_tokens": old.input_tokens, "output_tokens": old.output_tokens}
    record.calls.append(
        {**record.calls[0], "request_id": "r", "attempt_id": str(old.pk), "usage": usage}
    )
    assert record.compare().code == 0


def test_calls_of_another_provider_are_not_looked_at(run_jobs: RunJobs) -> None:
    record = run_jobs(2)
    assert record.compare("--provider", "anthropic").text.count("not in the ledger  ") == 2


def test_a_model_without_a_price_is_listed_without_one(run_jobs: RunJobs) -> None:
    record = run_jobs(1)
    record.calls.append(
        {**record.calls[0], "model": "claude-next", "request_id": "r", "attempt_id": None}
    )
    assert "no price" in record.compare().text


def test_it_only_reads(run_jobs: RunJobs) -> None:
    record = run_jobs(1)
    record.calls.append({**record.calls[0], "request_id": "r", "attempt_id": None})
    with CaptureQueriesContext(connection) as asked:
        record.compare()
    begin, first, *rest, end = [query["sql"] for query in asked]
    assert (begin, first, end) == ("BEGIN", "SET TRANSACTION READ ONLY", "ROLLBACK")
    assert rest
    assert all(sql.startswith(("DECLARE", "SELECT")) for sql in rest)


def test_a_file_that_cannot_be_read_is_another_exit_code(run_jobs: RunJobs) -> None:
    record = run_jobs(1)
    record.calls[0]["request_id"] = ""
    compared = record.compare()
    assert compared.code == 2
    assert "line 1: request_id" in compared.text
    assert "Fix this line or export it again." in compared.text
    record.calls[0] |= {"request_id": "r", "path": "/v1/messages/count_tokens"}
    assert record.compare().code == 2
