"""End what a killed stack left: `-m project.stack.reaper PIDS PARENT PATH...`.

The stack starts this process and stops it at its own end. If the stack is killed, the reaper ends
every process that the pid files name. If the reaper is killed too, the next start does the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from project.stack.children import PYTHON, Child, Launcher
from project.stack.processes import RUN_VARIABLE, reap

INTERVAL_S = 0.25
"""Seconds between two checks of the parent."""


def watch(pids: Path, parent: int, paths: list[Path]) -> None:
    """Wait for the parent's end. Then end its processes and remove its files."""
    while os.getppid() == parent:
        time.sleep(INTERVAL_S)
    reap(pids, but=os.getpid())
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (pids / "reaper.json").unlink(missing_ok=True)


def start(launcher: Launcher, *paths: Path) -> Child:
    """Start a reaper for this process. It removes the given files and folders at the end."""
    argv = [PYTHON, "-m", "project.stack.reaper", str(launcher.pids), str(os.getpid())]
    return launcher.launch(
        "reaper",
        [*argv, *map(str, paths)],
        env={**os.environ, RUN_VARIABLE: launcher.run},
        # The next start ends it first, so that it does not end the new processes.
        entry=lambda entry: replace(entry, wave=-1),
    )


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    watch(Path(sys.argv[1]), int(sys.argv[2]), [Path(path) for path in sys.argv[3:]])
