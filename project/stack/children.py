"""Child processes of the stack: servers, components, and steps of the start-up."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from project.stack.errors import ComponentFailedError, TimeLimitError
from project.stack.local_dir import CHECKOUT
from project.stack.log_files import copy_and_empty, rotate
from project.stack.processes import (
    GRACE_S,
    ProcessRecord,
    end,
    forget,
    record,
    start_time,
)
from project.stack.signals import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LOG_TAIL = 12
"""Lines of a log that are shown when its process died."""

EXCEPTION = re.compile(
    r"^(?:\S+: \(\w+\.E\d+\) (.*)|((?:\w+\.)*(?!SystemCheckError)\w*(?:Error|Exception)\b.*))",
    re.MULTILINE,
)
"""An error of Django's system checks, or the last line of a traceback."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts children, each with a log file and a pid file."""

    pids: Path
    logs: Path
    run: str

    def launch(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path = CHECKOUT,
        user: int | None = None,
        entry: Callable[[ProcessRecord], ProcessRecord] = lambda entry: entry,
    ) -> Child:
        """Start one child in a session of its own.

        Args:
            name: The name of its log and pid file.
            argv: The command.
            env: Its whole environment.
            cwd: Its working folder.
            user: The user id to run as. Only root can change it.
            entry: Changes the defaults of the record before it is written.
        """
        log = self.logs / f"{name}.log"
        rotate(log)
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(argv),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        try:
            known = ProcessRecord(name, process.pid, start_time(process.pid), self.run)
            child = Child(name, process, entry(known), log, self.pids)
            record(self.pids, child.record)
        except BaseException:  # without its pid file, nothing would end it
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return child


@dataclass(slots=True)
class Child:
    """A started child."""

    name: str
    process: subprocess.Popen[bytes]
    record: ProcessRecord
    log: Path
    pids: Path
    stopping: bool = field(default=False)

    def check(self) -> None:
        """Limit the size of its log. Raise ComponentFailedError if it died."""
        copy_and_empty(self.log)
        code = self.process.poll()
        if code is not None and not self.stopping:
            raise ComponentFailedError(died(self.name, code, self.log))

    def wait(self, *, timeout_s: float, tick: Callable[[], None]) -> int:
        """Wait until a step of the start-up ends.

        Returns:
            Its exit code.

        Raises:
            TimeLimitError: it took too long.
        """
        if not wait_until(lambda: self.process.poll() is not None, timeout_s=timeout_s, tick=tick):
            raise TimeLimitError(f"{self.name} did not end in {timeout_s:.0f} s")
        return self.process.wait()

    def stop(self) -> None:
        """End it and its group in any state, and remove its pid file."""
        stop_together([self])


def stop_together(children: Sequence[Child], *, grace_s: float = GRACE_S) -> None:
    """End the children and their groups in any state, and remove their pid files.

    Args:
        children: They get the signal at the same time.
        grace_s: Seconds until SIGKILL.
    """
    for child in children:
        child.stopping = True
    # A child that ended counts as gone, also before `wait` reads its exit code.
    end([child.record for child in children], grace_s=grace_s)
    for child in children:
        child.process.wait()
        forget(child.pids, child.record)


def died(name: str, code: int, log: Path) -> str:
    """Return a line that names a dead component, and the end of its log."""
    return f"{name} died ({_how(code)}); the end of {log}:\n{tail(log)}"


def died_in_short(name: str, code: int, log: Path) -> str:
    """Return one line that names a dead component and the last exception in its log."""
    if code < 0:  # its log has nothing about it
        return f"{name} died ({_how(code)}) (log: {log})."
    text = _text(log)
    found = [check or error for check, error in EXCEPTION.findall(text)]
    reason = (found or text.splitlines() or ["it wrote nothing"])[-1].strip()
    return f"{name} died ({_how(code)}): {reason} (log: {log})."


def tail(log: Path) -> str:
    """Return the last lines of a log, indented."""
    lines = _text(log).splitlines()
    return "\n".join(f"    {line}" for line in lines[-LOG_TAIL:]) or "    (it wrote nothing)"


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _text(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


PYTHON = sys.executable
