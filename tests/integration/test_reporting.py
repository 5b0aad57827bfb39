"""An error report tells where something broke and nothing of what a user wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from django.contrib.auth.models import User
from django.test import Client
from sentry_sdk.transport import Transport

from aifeature.services import execution, output
from project import reporting
from tests.integration.jobs.conftest import MakeJob, make_job
from tests.sandbox_server import SandboxServer

__all__ = ["make_job"]

CANARY = "canary-7f3a the secret of the customer"


class Kept(Transport):
    """Keeps what would be sent."""

    sent: list[bytes]

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        super().__init__(options)
        self.sent = []

    def capture_envelope(self, envelope: Any) -> None:
        self.sent.append(envelope.serialize())


@pytest.fixture
def reports() -> Iterator[Kept]:
    before = sentry_sdk.get_client()
    kept = Kept()
    reporting.start("https://key@sentry.invalid/1", transport=kept)
    yield kept
    sentry_sdk.get_client().close(timeout=0)
    sentry_sdk.get_global_scope().set_client(before)


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
    execution.run_feature(job.pk, worker="test")
    sentry_sdk.flush()

    report = b"".join(reports.sent)
    assert b"something of ours broke" in report
    assert b"_execute" in report
    assert CANARY.split(maxsplit=1)[0].encode() not in report


def test_a_malformed_request_is_no_error_report(db: None, reports: Kept) -> None:
    """Anybody could use the quota up otherwise."""
    assert Client(headers={"host": "not-our-host.example"}).get("/jobs/").status_code == 400
    sentry_sdk.flush()
    assert b"Invalid HTTP_HOST" not in b"".join(reports.sent)
