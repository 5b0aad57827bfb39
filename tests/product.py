"""Processes of the product on the test's own database, started like those of the local stack."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

from project.stack.local_dir import CHECKOUT
from project.stack.signals import wait_until
from tests.system import component, environment

BOUND_S = 100.0
"""Long, for a busy machine. A process that cannot start fails earlier, when it exits."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process and its log."""

    name: str
    running: subprocess.Popen[bytes]
    file: Path

    def log(self) -> str:
        """Return the log so far."""
        return self.file.read_text(errors="replace")

    def until(self, ready: Callable[[], bool], *, timeout_s: float = BOUND_S) -> None:
        """Wait until `ready()` is true. Fail with the log if the process ends before that."""

        def look() -> None:
            assert self.running.poll() is None, f"{self.name} ended:\n{self.log()}"

        assert wait_until(ready, timeout_s=timeout_s, tick=look), f"{self.name}:\n{self.log()}"

    def ended(self) -> int:
        """Wait for the process to end, and return its exit code."""
        return self.running.wait(BOUND_S)


def stores() -> dict[str, str]:
    """Return the environment variables of the test's database and Redis."""
    head, mark, query = os.environ["DATABASE_URL"].partition("?")
    url = f"{head.rpartition('/')[0]}/{connection.settings_dict['NAME']}{mark}{query}"
    return {"DATABASE_URL": url, "REDIS_URL": os.environ["REDIS_URL"]}


@contextmanager
def started(
    *names: str, logs: Path, env: Mapping[str, str], before: Sequence[str] = ()
) -> Iterator[dict[str, Process]]:
    """Start components of the local stack, by name. They end with the context.

    Args:
        names: Such as `web`, `worker-llm`, `beat`.
        logs: Folder for a log file of each.
        env: Overrides their environment in the local stack. An empty value counts as unset.
        before: A command that is put before theirs.
    """
    with ExitStack() as exits:
        found: dict[str, Process] = {}
        for name in names:
            part = component(name, logs=logs)
            file = logs / f"{name}.log"
            output = exits.enter_context(file.open("wb"))
            process = subprocess.Popen(
                [*before, *part.argv],
                env={**environment(stores()), **part.env, **env},
                cwd=CHECKOUT,
                stdout=output,
                stderr=output,
            )
            exits.callback(_end, process)
            found[name] = Process(name, process, file)
        yield found


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
