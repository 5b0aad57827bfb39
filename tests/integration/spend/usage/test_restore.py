"""The commands of deploy/runbooks/restored-database.md, on a dump."""

from __future__ import annotations

import os
import re
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

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed")]

PATIENCE_S = 60.0

ROOT = Path(__file__).parents[4]


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

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
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
    before, during, after = make_job(), make_job(), make_job()
    work(before)
    answered, backed_up, finish = threading.Event(), threading.Event(), transitions.finish

    def finish_after_the_backup(*arguments: Any, **more: Any) -> None:
        answered.set()
        assert backed_up.wait(PATIENCE_S)
        finish(*arguments, **more)

    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as worker:
        patch.setattr(transitions, "finish", finish_after_the_backup)
        running = worker.submit(work, during)
        try:
            assert answered.wait(PATIENCE_S)
            databases.back_up()
        finally:
            backed_up.set()
        running.result(PATIENCE_S)
    work(after)
    provider.ended_calls()
    calls = {row.job_id: row for row in Attempt.objects.all()}
    record = str(tmp_path / "calls.jsonl")

    databases.restore()
    compared = databases.manage("compare_usage", record)
    assert compared.returncode == 1, compared
    listed = {line.split("  ")[0]: line for line in compared.stdout.splitlines()}
    assert str(calls[after.pk].pk) in listed["not in the ledger"]
    assert str(calls[during.pk].pk) in listed["open here, ended there"]
    assert str(calls[before.pk].pk) not in compared.stdout
    cost = calls[after.pk].cost_micro
    assert listed["not in the ledger"].endswith(f"0.000000  0.{cost:06d}")

    # A worker takes over the job that ran during the backup. Its first call becomes unknown.
    with psycopg.connect(databases.url(databases.restored), autocommit=True) as restored:
        restored.execute(
            "UPDATE aifeature_job SET lease_until = now() - interval '1 second' WHERE id = %s",
            [during.pk],
        )
        restored.execute("SELECT aif_claim(%s, 'w2', 15)", [during.pk])
    again = databases.manage("compare_usage", record)
    assert again.returncode == 1
    (line,) = re.findall(r"^unknown here, known there .*$", again.stdout, re.MULTILINE)
    assert str(calls[during.pk].pk) in line
    assert line.endswith(f"0.{calls[during.pk].cost_micro:06d}")


def test_a_full_restore_lists_nothing(
    make_job: MakeJob, provider: SandboxServer, databases: Databases, tmp_path: Path
) -> None:
    work(make_job())
    provider.ended_calls()
    databases.back_up()
    databases.restore()
    assert databases.manage("migrate", "--check").returncode == 0
    compared = databases.manage("compare_usage", str(tmp_path / "calls.jsonl"))
    assert compared.returncode == 0, compared
    assert "agree on every one" in compared.stdout
