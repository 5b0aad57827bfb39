"""An error report tells where something broke and nothing of what a user wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature.services.execution import job_run, output
from tests.integration.job_rows import MakeJob
from tests.kept_reports import Kept, kept_reports
from tests.sandbox_server import SandboxServer

CANARY = "canary-7f3a the secret of the customer"


@pytest.fixture
def reports() -> Iterator[Kept]:
    with kept_reports() as kept:
        yield kept


@pytest.mark.usefixtures("committed")
def test_a_crash_in_the_middle_of_a_job_carries_no_prompt(
    make_job: MakeJob,
    sandbox: SandboxServer,
    reports: Kept,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crash(*_: Any) -> None:
        raise RuntimeError("something of ours broke")

    monkeypatch.setattr(output, "validate", crash)
    job = make_job(input={"document": f"{CANARY} is in this text."})
    job_run.run_feature(job.pk, worker="test")
    report = reports.text
    assert '"type":"RuntimeError"' in report
    assert "_execute" in report
    assert CANARY.split(maxsplit=1)[0] not in report
    assert "something of ours broke" not in report


def test_a_malformed_request_is_no_error_report(db: None, reports: Kept) -> None:
    """Anybody could use the quota up otherwise."""
    assert Client(headers={"host": "not-our-host.example"}).get("/jobs/").status_code == 400
    assert "Invalid HTTP_HOST" not in reports.text
