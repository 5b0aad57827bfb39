"""A user's text on which a regular expression of a feature never ends, in a real worker process."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from django.db import connection

from aifeature.models import Alert, Job
from aifeature.services.dispatch import publisher
from tests.chaos.real_processes import (
    BOUND_S,
    LIMIT_S,
    Processes,
    job_of,
    rows,
    wait_ended,
    wait_for_exit,
)
from tests.releases import next_release

pytestmark = pytest.mark.timeout(LIMIT_S)

HOSTILE = {"document": "a" * 45 + "b"}

CHECK = """
def check(value: Document, _output: Summary) -> list[str]:
    return ["a"] if re.match(r"(a+)+$", value.document) else []


_THREAD = "
"""


def test_a_worker_goes_on_and_drains_while_a_function_hangs(
    processes: Processes, tmp_path: Path
) -> None:
    processes.env["WORKER_GRACE_SECONDS"] = str(int(BOUND_S))
    defect = next_release(tmp_path)
    feature = "aifeature/features/summarize/feature.py"
    defect.edit(feature, '\n_THREAD = "', CHECK.rstrip())
    defect.edit(feature, "    plain=plain,", "    plain=plain,\n    check=check,")
    processes.control("control")
    worker = replace(processes, release=defect.folder).llm("hangs", threads=4)
    hostile = Job.objects.create(**{**job_of(processes.user), "input": HOSTILE})
    publisher.refill()
    wait_ended(processes.queue(3))
    children = psutil.Process(worker.process.pid).children(recursive=True)
    assert len(children) >= 2, "the process of the functions and its children"

    worker.stopping = True
    os.killpg(worker.process.pid, signal.SIGTERM)
    wait_for_exit(worker, within_s=BOUND_S)
    (row,) = rows([hostile])
    assert (row.status, row.error_code, row.charge_micro) == ("failed", "feature_broken", 0)
    alert = Alert.objects.get()
    connection.close()
    assert (alert.kind, alert.subject) == ("feature_broken", "summarize")
    assert alert.summary.startswith("check of the feature summarize takes longer than 5 s.")
    assert not any(child.is_running() for child in children)
