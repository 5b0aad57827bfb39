"""The stack waits until the web server has replaced its processes after HUP."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import psutil
import pytest

from project.stack.children import Child, Launcher
from project.stack.errors import ReloadError
from project.stack.hup import REFUSED, Hup
from project.stack.local_dir import CHECKOUT, LocalDir
from project.stack.signals import wait_until

SERVER = """
import signal, subprocess, sys, time
def start():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
workers = [start()]
def hup(*_):
    if "refuses" in sys.argv:
        sys.argv[1] = "replaces"
        print("HUP refused: it does not boot", flush=True)
        return
    workers.append(start())
    if "replaces" in sys.argv:
        workers[0].kill()
        workers[0].wait()
signal.signal(signal.SIGHUP, hup)
print("ready.", flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def server(local: LocalDir, request: pytest.FixtureRequest) -> Iterator[Child]:
    launcher = Launcher(local.pids, local.logs, "some-run")
    argv = [sys.executable, "-c", SERVER, request.param]
    child = launcher.launch("web", argv, env=dict(os.environ))
    assert wait_until(lambda: b"ready." in child.log.read_bytes(), timeout_s=20)
    yield child
    child.stop()


@pytest.mark.parametrize("server", ["replaces"], indirect=True)
def test_it_is_done_when_all_old_processes_have_ended(server: Child) -> None:
    hup = Hup(server)
    assert wait_until(hup.is_done, timeout_s=20)


@pytest.mark.parametrize("server", ["keeps"], indirect=True)
def test_it_is_not_done_while_an_old_process_serves_beside_a_new_one(server: Child) -> None:
    hup = Hup(server)
    process = psutil.Process(server.process.pid)
    assert wait_until(lambda: len(process.children()) == 2, timeout_s=20)
    assert not hup.is_done()


@pytest.mark.parametrize("server", ["refuses"], indirect=True)
def test_a_refusal_is_reported_and_the_next_attempt_does_not_read_it_again(server: Child) -> None:
    refused = Hup(server)
    with pytest.raises(ReloadError, match=r"refused the new code: read .*web\.log"):
        wait_until(refused.is_done, timeout_s=20)
    assert wait_until(Hup(server).is_done, timeout_s=20)


def test_the_web_server_logs_a_refusal_in_these_words() -> None:
    assert REFUSED in (CHECKOUT / "deploy" / "boot_check.py").read_bytes()
