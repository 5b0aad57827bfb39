"""The web server of production, as a process on a loopback port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
from django.db import connection

from project.stack.local_dir import CHECKOUT

BOUND_S = 120.0
"""Seconds. A worker may take its graceful time-out to end, half a minute."""

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
        """Send HUP and wait until the old workers have ended."""
        before = self.workers()
        self.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + BOUND_S
        while before & self.workers():
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)


@contextmanager
def running(argv: list[str], log: Path, *, cwd: Path = CHECKOUT, **env: str) -> Iterator[WebServer]:
    """Run the server with the test's database and Redis. PORT in `argv` becomes the port."""
    with ExitStack() as exits:
        yield exits.enter_context(_running(argv, log, cwd, env, exits.enter_context(port())))


@contextmanager
def port() -> Iterator[int]:
    """Reserve a free port: this process binds it and does not listen.

    A server with SO_REUSEADDR may bind it too. All servers here set it.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((HOST, 0))
        yield held.getsockname()[1]


@contextmanager
def _running(
    argv: list[str], log: Path, cwd: Path, env: dict[str, str], port: int
) -> Iterator[WebServer]:
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "ALLOWED_HOSTS": HOST,
        "WEB_BIND": f"{HOST}:{port}",
        **env,
    }
    command = [sys.executable, "-m", *(str(port) if part == "PORT" else part for part in argv)]
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
    """Return the address of this test process's database."""
    head, mark, query = os.environ["DATABASE_URL"].partition("?")
    base, _, _ = head.rpartition("/")
    return f"{base}/{connection.settings_dict['NAME']}{mark}{query}"
