"""A validator that never returns, in a real worker process."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.db.models.functions import Now

from aifeature.models import Alert, Attempt, FeatureControl, Job
from aifeature.reasons import FailureCode
from aifeature.services.dispatch import publisher
from aifeature.services.execution.runner import EXIT_CODE
from aifeature.services.texts import FAILED
from tests.chaos.real_processes import (
    BOUND_S,
    LIMIT_S,
    Processes,
    job_of,
    rows,
    text_of,
    wait_ended,
)
from tests.releases import next_release
from tests.sandbox_server import SandboxServer

LEASE_S = 3
DEADLINE_S = 20

pytestmark = pytest.mark.timeout(LIMIT_S)


def test_a_worker_with_a_hanging_thread_exits_and_another_continues(
    processes: Processes, sandbox: SandboxServer, tmp_path: Path
) -> None:
    processes.env["LEASE_SECONDS"] = str(LEASE_S)
    processes.env["WORKER_GRACE_SECONDS"] = "1"
    defect = next_release(tmp_path)
    defect.edit(
        "aifeature/services/execution/output.py",
        "        answer = _parsed(feature.output_model, text)\n    if",
        "        __import__('threading').Event().wait()\n"
        "        answer = _parsed(feature.output_model, text)\n    if",
    )
    FeatureControl.objects.update_or_create(  # otherwise the deadline is too near for a call
        feature="summarize", defaults={"deadline_s": DEADLINE_S}
    )
    processes.control("control")
    hangs = replace(processes, release=defect.folder).llm("hangs", threads=4)
    deadline = Now() + timedelta(seconds=DEADLINE_S)
    job = Job.objects.create(**{**job_of(processes.user), "deadline_at": deadline})
    publisher.refill()
    connection.close()
    assert hangs.process.wait(BOUND_S) == EXIT_CODE, text_of(hangs.log)

    (row,) = rows([job])
    assert (row.status, row.error_code) == ("failed", "deadline_exceeded")
    assert (row.error_message, row.charge_micro) == (FAILED[FailureCode.DEADLINE_EXCEEDED], 0)
    assert Attempt.objects.get().state == "unknown"
    alert = Alert.objects.get(kind="stuck_worker")
    assert f"job {job.pk} of summarize" in alert.summary
    assert "called by aifeature.services.execution.output.validate, line " in alert.summary
    connection.close()
    processes.llm("sound")
    wait_ended(processes.queue(2))
