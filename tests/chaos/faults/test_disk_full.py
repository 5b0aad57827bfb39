"""The disk of PostgreSQL and of every log is full, and later has room again."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psycopg
import pytest

from project.stack.local_dir import CHECKOUT
from project.stack.ports import HOST, take_port
from project.stack.signals import wait_until
from tests.chaos.faults.system import BOUND_S, LIMIT_S, SUBMIT_PATH, is_unavailable, running_site
from tests.system import component, environment

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(LIMIT_S)]

SIZE = "160m"
LEFT = 600_000
"""Free bytes of a full disk: less than the submissions below need."""

MOST = 60
"""Submissions until one must have been refused. Each has 50 kB that do not compress."""


def unmountable() -> str | None:
    """Return why no small file system can be mounted here; None if it can."""
    if os.geteuid() != 0:
        return "only root may mount a small file system"
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder],
            check=False,
            capture_output=True,
            text=True,
        )
        if tried.returncode:
            return f"a small file system cannot be mounted: {tried.stderr.strip()}"
        subprocess.run(["umount", folder], check=True)
    return None


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Mount a small file system as the temporary folder."""
    reason = unmountable()
    if reason is not None:
        if os.geteuid() == 0 and os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="aif-disk-") as folder:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=711", "tmpfs", folder], check=True
        )
        try:
            monkeypatch.setattr(tempfile, "tempdir", folder)
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    ballast = disk / "ballast"
    state = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - LEFT)
    try:
        yield
    finally:
        ballast.unlink()


def document(number: int) -> str:
    return random.Random(number).randbytes(25_000).hex()


def test_a_full_disk_refuses_submissions_and_damages_nothing(small_disk: Path) -> None:
    accepted: dict[str, int] = {}
    with running_site() as site:
        client, url = site.client, site.system.servers.env["DATABASE_URL"]

        def submit(number: int) -> httpx2.Response:
            body = {"input": {"document": document(number)}}
            response = client.post(SUBMIT_PATH, json=body)
            if response.status_code == 202:
                accepted[str(response.json()["id"])] = number
            return response

        with psycopg.connect(url) as connection:
            # The write-ahead log gets a new file of 16 MB. PostgreSQL would end if it needed
            # another one while the disk is full.
            connection.execute("SELECT pg_switch_wal()")
        assert submit(0).status_code == 202
        first = next(iter(accepted))
        with full(small_disk):
            refused = next((r for n in range(1, MOST) if (r := submit(n)).status_code != 202), None)
            assert refused is not None, "the disk is not full"
            assert is_unavailable(refused)
            # The log of the process is on that disk too; it continues without.
            assert client.get("/healthz").status_code == 200
            assert client.get(f"/api/v1/jobs/{first}").status_code == 200
            assert wait_until(lambda: site.readiness() == (503, "disk_full"), timeout_s=BOUND_S)

        assert wait_until(lambda: site.readiness() == (200, "ok"), timeout_s=BOUND_S)
        for number in range(MOST, MOST + 5):
            assert submit(number).status_code == 202
        with psycopg.connect(url) as connection:
            rows = connection.execute(
                "SELECT id::text, input->>'document' FROM aifeature_job"
            ).fetchall()
            assert dict(rows) == {job: document(number) for job, number in accepted.items()}
            # Every index leads to each of its rows.
            connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
            connection.execute(
                "SELECT bt_index_check(i.indexrelid, true) FROM pg_index i"
                " JOIN pg_class c ON c.oid = i.indexrelid"
                " JOIN pg_am a ON a.oid = c.relam AND a.amname = 'btree'"
                " WHERE i.indrelid = 'aifeature_job'::regclass AND i.indisvalid"
            )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_process_whose_log_cannot_be_written_continues() -> None:
    with take_port(8600) as port, Path("/dev/full").open("wb") as log:
        nowhere = {
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
            "REDIS_URL": "redis://127.0.0.1:9/0",
        }
        web = component("web", logs=Path(), web=port)
        process = subprocess.Popen(
            web.argv,
            env={**environment(nowhere), **web.env, "WEB_CONCURRENCY": "1"},
            cwd=CHECKOUT,
            stdout=log,
            stderr=log,
        )
        try:
            assert wait_until(web.ready, timeout_s=BOUND_S)
            url = f"http://{HOST}:{port}"
            for _ in range(3):
                headers = {"Authorization": "Bearer aif_x"}
                answer = httpx2.get(
                    f"{url}/api/v1/jobs", headers=headers, trust_env=False, timeout=BOUND_S
                )
                assert answer.status_code == 503  # the server logs it
            assert web.ready()
            assert process.poll() is None
        finally:
            process.terminate()
            process.wait(BOUND_S)
