"""Jobs that call the sandbox provider, and its record of the calls."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from aifeature.models import Attempt, Job
from aifeature.services.execution import job_run
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer


@dataclass(frozen=True)
class Compared:
    code: int
    text: str


def compare(file: Path, *options: str) -> Compared:
    out = io.StringIO()
    try:
        call_command("compare_usage", str(file), *options, stdout=out)
    except CommandError as error:
        return Compared(error.returncode, f"{out.getvalue()}{error}")
    return Compared(0, out.getvalue())


class Record:
    """The record of the sandbox, which a test may change before its export."""

    def __init__(self, file: Path, calls: list[dict[str, Any]]) -> None:
        self.file = file
        self.calls = calls

    def compare(self, *options: str) -> Compared:
        lines = [json.dumps({"event": "ended", **call}) for call in self.calls]
        self.file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return compare(self.file, *options)


@pytest.fixture
def run_jobs(
    committed: None, live_prompt: None, make_job: MakeJob, sandbox: SandboxServer, tmp_path: Path
) -> Callable[[int], Record]:
    """Run jobs, and return the sandbox's record of their calls."""

    def run(number: int) -> Record:
        for _ in range(number):
            job_run.run_feature(make_job().pk, worker="w")
        return Record(tmp_path / "calls.jsonl", sandbox.ended_calls())

    return run


def only_call() -> Attempt:
    return Job.objects.get().ledger.get()
