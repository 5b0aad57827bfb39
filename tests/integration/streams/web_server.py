"""The web server as it runs in production, as a process on a loopback port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
from django.db import connection

from project.stack.local_dir import CHECKOUT

BOUND_S = 60.0
HOST = "127.0.0.1"


@dataclass
class WebServer:
    """A running server."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def reload(self) -> None:
        """HUP, and wait until the old workers are gone."""
        before = self.workers()
        self.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + BOUND_S
        while before & self.workers():
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)


@contextmanager
def running(argv: list[str], log: Path, *, cwd: Path = CHECKOUT, **env: str) -> Iterator[WebServer]:
    """Run it against the test's own database and Redis; PORT in `argv` becomes the port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = str(probe.getsockname()[1])
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "ALLOWED_HOSTS": HOST,
        "WEB_BIND": f"{HOST}:{port}",
        **env,
    }
    command = [sys.executable, "-m", *(port if part == "PORT" else part for part in argv)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=output, stderr=output)
    server = WebServer(process, f"http://{HOST}:{port}", log)
    try:
        _wait_until_it_answers(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(server: WebServer) -> None:
    until = time.monotonic() + BOUND_S
    while True:
        assert server.process.poll() is None, server.log.read_text()
        assert time.monotonic() < until, server.log.read_text()
        try:
            if httpx2.get(f"{server.url}/healthz", trust_env=False).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)


def database_url() -> str:
    """The run's server, with the database of this test process."""
    head, mark, query = os.environ["DATABASE_URL"].partition("?")
    base, _, _ = head.rpartition("/")
    return f"{base}/{connection.settings_dict['NAME']}{mark}{query}"
