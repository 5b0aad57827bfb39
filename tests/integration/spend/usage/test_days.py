"""Comparison of the ledger with the report of the provider, by UTC day and model."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from aifeature.models import Job
from tests.integration.privacy.retention.conftest import EndedJob, call, ended
from tests.integration.spend.usage.conftest import Compared, compare

__all__ = ["ended"]

TODAY = datetime(2026, 11, 3, tzinfo=UTC)
HAIKU = "claude-haiku-5-5"


def report(folder: Path, *days: dict[str, Any]) -> Path:
    """Write a report with one bucket for each day from TODAY on."""
    buckets = []
    for number, models in enumerate(days):
        begin = TODAY + timedelta(days=number)
        results = [
            {
                "model": model,
                "uncached_input_tokens": used[0],
                "output_tokens": used[1],
                "cache_read_input_tokens": 0,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            }
            for model, used in models.items()
        ]
        buckets.append(
            {
                "starting_at": begin.isoformat(),
                "ending_at": (begin + timedelta(days=1)).isoformat(),
                "results": results,
            }
        )
    file = folder / "report.json"
    file.write_text(json.dumps({"data": buckets, "has_more": False}, indent=1))
    return file


@pytest.fixture
def job(ada: User, ended: EndedJob) -> Job:
    return ended(days_ago=400)


def add(job: Job, hours: float, **fields: Any) -> None:
    at = TODAY + timedelta(hours=hours)
    call(job, **{"started_at": at, "ended_at": at, "day": at.date(), **fields})


def compared(file: Path) -> Compared:
    return compare(file, "--provider", "sandbox")


def test_the_same_sums_agree(job: Job, tmp_path: Path) -> None:
    for hours in (0, 12, 23.99):
        add(job, hours)
    add(job, 25)
    add(job, -0.01)
    add(job, 48)
    found = compared(report(tmp_path, {HAIKU: (33, 21)}, {HAIKU: (11, 7)}))
    assert found.code == 0
    assert "UTC days 2026-11-03 to 2026-11-04" in found.text


def test_a_different_day_and_model_are_listed_with_the_cost(job: Job, tmp_path: Path) -> None:
    add(job, 1)
    add(job, 26)
    found = compared(report(tmp_path, {HAIKU: (11, 7)}, {HAIKU: (1_000_011, 7)}))
    assert found.code == 1
    (line,) = [line for line in found.text.splitlines() if line.startswith("2026-11-04  ")]
    assert line.split() == ["2026-11-04", HAIKU, "input", "11", "1,000,011", "+1,000,000"]
    assert f"2026-11-04 {HAIKU}: settled $0.000042 <= provider $0.100042 <= $0.000042" in found.text
    assert "NOT explained, at the rates of short prompts" in found.text
    assert "1 days and models differ." in found.text


def test_a_model_that_only_one_of_them_has_is_a_difference(job: Job, tmp_path: Path) -> None:
    add(job, 1)
    assert compared(report(tmp_path, {})).code == 1
    found = compared(report(tmp_path, {HAIKU: (11, 7), "claude-next": (1, 1)}))
    assert found.code == 1
    assert "claude-next: settled $0.000000 <= provider no price <=" in found.text


UNSEEN: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0}


@pytest.mark.parametrize(
    ("unsure", "explained"),
    [
        ({"state": "unknown", "cost_micro": 0, "bound_micro": 5, **UNSEEN}, True),
        ({"state": "unknown", "cost_micro": 0, "bound_micro": 4, **UNSEEN}, False),
        ({"state": "estimated", "cost_micro": 5, "bound_micro": 900}, True),
        ({"state": "estimated", "cost_micro": 4, "bound_micro": 900}, False),
        ({"state": "started", "ended_at": None, "cost_micro": 0, "bound_micro": 5}, True),
        ({"state": "failed", "cost_micro": 0, "bound_micro": 900}, False),
    ],
    ids=str,
)
def test_unsure_calls_explain_a_bill(
    job: Job, tmp_path: Path, unsure: dict[str, Any], *, explained: bool
) -> None:
    """The report has 11 and 7 tokens more than the settled call: 4.6 micro-dollars."""
    add(job, 1)
    add(job, 2, **unsure)
    found = compared(report(tmp_path, {HAIKU: (22, 14)}))
    assert (found.code == 0) is explained
    assert f"{HAIKU}: settled $0.000042 <=" in found.text
    assert ("NOT explained" in found.text) is not explained


def test_unsure_calls_explain_no_bill_below_what_is_settled(job: Job, tmp_path: Path) -> None:
    add(job, 1)
    add(job, 2, state="estimated", cost_micro=900)
    assert compared(report(tmp_path, {HAIKU: (10, 7)})).code == 1


def test_unsure_calls_that_were_not_billed_are_no_difference(job: Job, tmp_path: Path) -> None:
    add(job, 1)
    add(job, 2, state="estimated", cost_micro=900)
    add(job, 3, cost_micro=0, stop_reason="refusal")
    assert compared(report(tmp_path, {HAIKU: (11, 7)})).code == 0


def test_another_providers_calls_do_not_count(job: Job, tmp_path: Path) -> None:
    add(job, 1, provider="anthropic")
    assert compared(report(tmp_path, {})).code == 0


def test_an_incomplete_report_is_refused_with_the_fix(job: Job, tmp_path: Path) -> None:
    file = report(tmp_path, {HAIKU: (1, 1)})
    file.write_text(file.read_text().replace('"has_more": false', '"has_more": true'))
    found = compared(file)
    assert found.code == 2
    assert "add the pages that follow" in found.text
