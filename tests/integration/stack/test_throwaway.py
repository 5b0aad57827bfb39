"""Processes that were started beside the servers of a run end with them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg

from project.stack.children import PYTHON
from project.stack.processes import RUN_VARIABLE
from project.stack.throwaway import running


def test_a_process_that_was_started_beside_the_servers_ends_with_them() -> None:
    with running(database=False) as servers:
        guest = servers.launcher.launch(
            "guest",
            [PYTHON, "-c", "import time; time.sleep(3600)"],
            env={**os.environ, RUN_VARIABLE: servers.launcher.run},
        )
    assert guest.process.wait(60) != 0


def test_the_database_of_a_kept_folder_stays_and_is_used_once_at_a_time(tmp_path: Path) -> None:
    for command in ("CREATE TABLE paid AS SELECT 7 AS answer", "SELECT answer FROM paid"):
        with running(redis=False, durable=True, keep=tmp_path) as servers:
            assert servers.env["LOCAL_DIR"].startswith(str(tmp_path))
            with psycopg.connect(servers.env["DATABASE_URL"]) as connection:
                found = connection.execute(command)
                answer = found.fetchone() if found.description else None
            code = f"with running(database=False, keep=Path({str(tmp_path)!r})): pass"
            imports = "from pathlib import Path; from project.stack.throwaway import running"
            second = subprocess.run(
                [PYTHON, "-c", f"{imports}\n{code}"], capture_output=True, text=True, check=False
            )
            assert "AlreadyRunningError" in second.stderr
    assert answer == (7,)
