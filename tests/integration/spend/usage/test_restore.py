"""The commands of deploy/runbooks/restored-database.md, on a dump."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection

from aifeature.models import Attempt, Job, transitions
from aifeature.services.execution import job_run
from aifeature.services.provider import factory
from project.stack.postgres_account import POSTGRES_BIN_PATH
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer, running_sandbox
from workers.sandbox.settings import SandboxSettings

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "live_prompt")]

PATIENCE_S = 60.0

ROOT = Path(__file__).parents[4]

BOTH = """
import sys, django
from django.core.management import call_command
django.setup()
call_command("migrate", check_unapplied=True)
call_command("compare_usage", sys.argv[1])
"""
"""Two commands in one process. Each raises an error if its exit code would not be 0."""


class Databases:
    """The database of the test, its backup, and a database restored from that."""

    def __init__(self, folder: Path) -> None:
        self.name = str(connection.settings_dict["NAME"])
        self.dump = folder / "backup.dump"
        self.restored = f"{self.name}_restored"

    def url(self, name: str) -> str:
        return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()

    def back_up(self) -> None:
        tool("pg_dump", "-Fc", "-f", str(self.dump), self.url(self.name))

    def restore(self) -> None:
        self.drop()
        tool("psql", "-qc", f'CREATE DATABASE "{self.restored}"', self.url("postgres"))
        where = self.url(self.restored)
        tool("pg_restore", "--exit-on-error", "--no-owner", "-d", where, str(self.dump))

    def drop(self) -> None:
        tool("psql", "-qc", f'DROP DATABASE IF EXISTS "{self.restored}"', self.url("postgres"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python on the restored database."""
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "DATABASE_URL": self.url(self.restored)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def tool(name: str, *arguments: str) -> None:
    path = str(POSTGRES_BIN_PATH / name)
    subprocess.run([path, *arguments], check=True, capture_output=True, timeout=60)


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[Databases]:
    found = Databases(tmp_path)
    yield found
    found.drop()


@pytest.fixture
def provider(tmp_path: Path, settings: Any) -> Iterator[SandboxServer]:
    """A sandbox provider that writes its record to a file."""
    with running_sandbox(SandboxSettings(record_file=tmp_path / "calls.jsonl")) as server:
        settings.AIFEATURE = {**settings.AIFEATURE, "API_KEY": "k", "BASE_URL": server.url}
        factory.gateway.cache_clear()
        yield server
        factory.gateway().close()
        factory.gateway.cache_clear()


def work(job: Job) -> None:
    try:
        job_run.run_feature(job.pk, worker="w")
    finally:
        connection.close()


def test_calls_missing_in_the_backup_are_listed(
    make_job: MakeJob,
    provider: SandboxServer,
    databases: Databases,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, during, taken_over, after = (make_job() for _ in range(4))
    work(before)
    answered, backed_up = threading.Barrier(3), threading.Event()
    finish = transitions.finish

    def finish_after_the_backup(*arguments: Any, **more: Any) -> None:
        answered.wait(PATIENCE_S)
        assert backed_up.wait(PATIENCE_S)
        finish(*arguments, **more)

    with monkeypatch.context() as patch, ThreadPoolExecutor(2) as workers:
        patch.setattr(transitions, "finish", finish_after_the_backup)
        running = [workers.submit(work, job) for job in (during, taken_over)]
        try:
            answered.wait(PATIENCE_S)
            databases.back_up()
        finally:
            backed_up.set()
        for each in running:
            each.result(PATIENCE_S)
    work(after)
    provider.ended_calls()
    calls = {row.job_id: row for row in Attempt.objects.all()}

    databases.restore()
    # A worker takes over a job that ran during the backup. Its first call becomes unknown.
    with psycopg.connect(databases.url(databases.restored), autocommit=True) as restored:
        restored.execute(
            "UPDATE aifeature_job SET lease_until = now() - interval '1 second' WHERE id = %s",
            [taken_over.pk],
        )
        restored.execute("SELECT aif_claim(%s, 'w2', 15)", [taken_over.pk])
    compared = databases.run("manage.py", "compare_usage", str(tmp_path / "calls.jsonl"))
    assert compared.returncode == 1, compared
    listed = {line.split("  ")[0]: line for line in compared.stdout.splitlines()}
    assert len(listed) == len(compared.stdout.splitlines()), compared.stdout
    assert str(calls[during.pk].pk) in listed["open here, ended there"]
    assert str(calls[before.pk].pk) not in compared.stdout
    for kind, job in (("not in the ledger", after), ("unknown here, known there", taken_over)):
        assert str(calls[job.pk].pk) in listed[kind]
        assert listed[kind].endswith(f"  0.{calls[job.pk].cost_micro:06d}")
    assert "0.000000  0." in listed["not in the ledger"]


def test_a_full_restore_lists_nothing(
    make_job: MakeJob, provider: SandboxServer, databases: Databases, tmp_path: Path
) -> None:
    work(make_job())
    provider.ended_calls()
    databases.back_up()
    databases.restore()
    compared = databases.run("-c", BOTH, str(tmp_path / "calls.jsonl"))
    assert compared.returncode == 0, compared
    assert "agree on every one" in compared.stdout
