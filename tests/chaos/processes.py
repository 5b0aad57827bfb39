"""Our own processes, and a supervisor that starts them anew as an orchestrator would."""

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

LOOK_S: Final = 0.1
RESTART_S: Final = 1.0
"""Between the end of a process and its next start."""


@dataclass(frozen=True, slots=True)
class Death:
    """A process ended. `expected`: a fault or the end of the run made it."""

    at: float
    """Seconds since the epoch."""

    name: str
    code: int
    expected: bool
    lived_s: float
    log: str


@dataclass(slots=True)
class Process:
    """One process that is to run, through all its lives."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    ready: Callable[[Child], Check]
    """How to tell of a life that it does its work."""

    launcher: Launcher
    lives: list[Child] = field(default_factory=list)
    began: float = 0.0
    """When its present life began, by a clock that is not adjusted."""

    doomed: bool = False
    """Whether its next death is somebody's intention."""

    def start(self) -> None:
        """Begin a life. Each has a log of its own."""
        self.doomed = False
        name = f"{self.name}.{len(self.lives) + 1}"
        self.began = time.monotonic()
        self.lives.append(self.launcher.launch(name, self.argv, env=self.env))

    @property
    def child(self) -> Child:
        """The present life, or the last."""
        return self.lives[-1]

    def alive(self) -> bool:
        """Whether it runs, ready or not."""
        return self.child.process.poll() is None

    def is_ready(self) -> bool:
        """Whether it does its work."""
        return self.alive() and self.ready(self.child)()

    def signal(self, signum: int, *, whole: bool = True) -> None:
        """Send a signal to it, and to its children too if `whole`."""
        if signum in {signal.SIGKILL, signal.SIGTERM, signal.SIGQUIT}:
            self.doomed = True
        pid = self.child.process.pid
        with suppress(ProcessLookupError):
            (os.killpg if whole else os.kill)(pid, signum)

    def children(self) -> list[int]:
        """The pids of its own children, oldest first."""
        try:
            return [child.pid for child in psutil.Process(self.child.process.pid).children()]
        except psutil.NoSuchProcess:
            return []


class Supervisor:
    """Starts what has ended again, after a moment. One thread looks at all."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self.processes = {process.name: process for process in processes}
        self.deaths: list[Death] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Begin every process's first life."""
        for process in self.processes.values():
            process.start()
        self._thread.start()

    def stop(self) -> None:
        """End everything; nothing is started anew from here on."""
        self._over.set()
        self._thread.join()
        records = [life.record for process in self.processes.values() for life in process.lives]
        for process in self.processes.values():
            process.signal(signal.SIGCONT)  # what was stopped could not be told to end
        end(records)
        for process in self.processes.values():
            for life in process.lives:
                life.stop()

    def _watch(self) -> None:
        ended: dict[str, float] = {}
        while not self._over.wait(LOOK_S):
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
