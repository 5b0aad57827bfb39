"""Fixtures that start real stacks as processes, each with its own data folder, and end them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest

from project.stack.local_dir import CHECKOUT, LocalDir
from project.stack.processes import reap
from project.stack.signals import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WAIT_S = 60.0
EXTERNAL = ("DATABASE_URL", "REDIS_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")


def leftovers(local: LocalDir) -> list[psutil.Process]:
    """Return the processes with this data folder in their environment or command line."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get("LOCAL_DIR") == str(local.root)
            named = any(str(local.root) in part for part in process.cmdline())
            alive = process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            continue
        if alive and (marked or named):
            found.append(process)
    return found


@dataclass
class RunningStack:
    """A stack that was started by a test."""

    process: subprocess.Popen[str]
    local: LocalDir
    output: Path

    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str) -> None:
        assert wait_until(lambda: text in self.text(), timeout_s=WAIT_S), self.text()

    def wait(self) -> int:
        return self.process.wait(timeout=WAIT_S)

    def all_gone(self) -> bool:
        return wait_until(lambda: not leftovers(self.local), timeout_s=WAIT_S)


@pytest.fixture
def local(tmp_path: Path) -> LocalDir:
    found = LocalDir((tmp_path / "local").resolve())
    found.prepare()
    return found


@pytest.fixture
def start(local: LocalDir, tmp_path: Path) -> Iterator[Callable[..., RunningStack]]:
    """Start `python <args>` with the data folder of this test."""
    started: list[RunningStack] = []

    def _start(*args: str, cwd: Path = CHECKOUT, **environ: str) -> RunningStack:
        output = tmp_path / f"output{len(started)}"
        env = {k: v for k, v in os.environ.items() if k not in EXTERNAL}
        with output.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, *args],
                cwd=cwd,
                env={**env, "LOCAL_DIR": str(local.root), **environ},
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        started.append(RunningStack(process, local, output))
        return started[-1]

    yield _start
    for stack in started:
        if stack.process.poll() is None:
            stack.process.send_signal(signal.SIGKILL)
            stack.process.wait()
    reap(local.pids, grace_s=0.5)


@pytest.fixture
def standin(start: Callable[..., RunningStack]) -> Callable[..., RunningStack]:
    """Start a stack of stand-in components and wait until all are ready."""

    def _standin(*args: str, until: str = "all ready") -> RunningStack:
        stack = start("-m", "tests.integration.stack.standin", *args)
        stack.wait_for(until)
        return stack

    return _standin
