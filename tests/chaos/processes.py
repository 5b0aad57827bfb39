"""Our processes, and a supervisor that restarts them as an orchestrator would."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import psutil

from project.stack.children import Child, Launcher
from project.stack.processes import end
from project.stack.readiness import Check

POLL_S: Final = 0.1
RESTART_S: Final = 1.0
"""Seconds between the end of a process and its next start."""


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a process. `expected`: a fault or the end of the run caused it."""

    at: float
    """Seconds since the epoch."""

    name: str
    code: int
    expected: bool
    lived_s: float
    log: str


@dataclass(slots=True)
class Process:
    """One process with its restarts; each start is a life."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    ready: Callable[[Child], Check]
    """Returns the readiness check of a life."""

    launcher: Launcher
    lives: list[Child] = field(default_factory=list)
    began: float = 0.0
    """When its present life began, on the monotonic clock."""

    doomed: bool = False
    """Whether its next death is intended."""

    def start(self) -> None:
        """Begin a life, with a log of its own."""
        self.doomed = False
        name = f"{self.name}.{len(self.lives) + 1}"
        self.began = time.monotonic()
        self.lives.append(self.launcher.launch(name, self.argv, env=self.env))

    @property
    def child(self) -> Child:
        """The present or last life."""
        return self.lives[-1]

    def alive(self) -> bool:
        return self.child.process.poll() is None

    def is_ready(self) -> bool:
        return self.alive() and self.ready(self.child)()

    def signal(self, signum: int, *, whole: bool = True) -> None:
        """Send a signal to the process, and to its children if `whole`."""
        if signum in {signal.SIGKILL, signal.SIGTERM, signal.SIGQUIT}:
            self.doomed = True
        pid = self.child.process.pid
        with suppress(ProcessLookupError):
            (os.killpg if whole else os.kill)(pid, signum)

    def children(self) -> list[int]:
        """Return the pids of its children, oldest first."""
        try:
            return [child.pid for child in psutil.Process(self.child.process.pid).children()]
        except psutil.NoSuchProcess:
            return []


class Supervisor:
    """Thread that restarts ended processes."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self.processes = {process.name: process for process in processes}
        self.deaths: list[Death] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        for process in self.processes.values():
            process.start()
        self._thread.start()

    def stop(self) -> None:
        """End all processes for good."""
        self._over.set()
        self._thread.join()
        records = [life.record for process in self.processes.values() for life in process.lives]
        for process in self.processes.values():
            process.signal(signal.SIGCONT)  # a stopped process handles no SIGTERM
        end(records)
        for process in self.processes.values():
            for life in process.lives:
                life.stop()

    def _watch(self) -> None:
        ended: dict[str, float] = {}
        while not self._over.wait(POLL_S):
            for name, process in self.processes.items():
                code = process.child.process.poll()
                if code is None:
                    continue
                if name not in ended:
                    ended[name] = time.monotonic()
                    self._note(process, code)
                elif time.monotonic() - ended[name] >= RESTART_S:
                    del ended[name]
                    process.start()

    def _note(self, process: Process, code: int) -> None:
        child, now = process.child, time.time()
        lived_s = time.monotonic() - process.began
        self.deaths.append(Death(now, process.name, code, process.doomed, lived_s, child.log.name))
