"""A control worker and beat get SIGTERM while they have work."""

from __future__ import annotations

import json
import signal
from base64 import b64decode
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.db import connection
from django.db.models.functions import Now

from aifeature.models import Job, Status
from tests.chaos.real_processes import (
    LIMIT_S,
    Processes,
    broker,
    job_of,
    rows,
    send_signal,
    start_together,
    wait_ended,
    wait_for_exit,
    wait_until,
)

STOP_S = 60.0
"""Far above what it takes, and far below for ever."""

pytestmark = pytest.mark.timeout(LIMIT_S)


def sent(queue: redis.Redis) -> set[str]:
    """The jobs that messages to the llm workers name."""
    messages: Any = queue.lrange("llm", 0, -1)
    return {json.loads(b64decode(json.loads(each)["body"]))[1]["job_id"] for each in messages}


def test_control_and_beat_stop_soon_and_another_control_worker_goes_on(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    old, _, beat = start_together(
        lambda: processes.control("old"),
        lambda: processes.control("new"),
        lambda: processes.beat("beat"),
    )
    for child in (old, beat):
        send_signal(child, signal.SIGTERM)
    during = [Job.objects.create(**job_of(processes.user)) for _ in range(3)]
    connection.close()
    took = [wait_for_exit(child, within_s=STOP_S) for child in (old, beat)]
    after = [Job.objects.create(**job_of(processes.user)) for _ in range(3)]
    late = [
        Job.objects.create(
            **{**job_of(processes.user), "deadline_at": Now() - timedelta(seconds=1)}
        )
        for _ in range(2)
    ]
    connection.close()
    wait_ended(late, Status.FAILED)
    wait_until(
        lambda: all(row.published_at for row in rows([*during, *after])), "jobs to be handed over"
    )
    wanted = {str(job.pk) for job in [*during, *after]}
    # One that came late may be handed over, in the moment before it is ended.
    ended_late = {str(job.pk) for job in late}
    with broker() as queue:
        wait_until(
            lambda: sent(queue) - ended_late == wanted, "their messages, one of them twice perhaps"
        )
    with capsys.disabled():
        print(f"\ncontrol, beat: ended {took[0]:.1f}, {sum(took):.1f} s after SIGTERM")  # noqa: T201
