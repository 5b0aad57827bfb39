"""Cleans up after a stack that was killed hard: `-m project.stack.warden PIDS PARENT PATH...`.

It is started by the stack, does nothing while that lives, and ends everything the pid files name
when it is gone. Should it be killed too, the next start does the same work.
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

LOOK_S = 0.25


def watch(pids: Path, parent: int, rubbish: list[Path]) -> None:
    """Wait for the parent's end, then reap what it left and remove the files it would have."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    reap(pids, but=os.getpid())
    for path in rubbish:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (pids / "warden.json").unlink(missing_ok=True)


def start(launcher: Launcher, *rubbish: Path) -> Child:
    """Start a warden over this process; it removes the given files and folders in the end."""
    argv = [PYTHON, "-m", "project.stack.warden", str(launcher.pids), str(os.getpid())]
    return launcher.launch(
        "warden",
        [*argv, *map(str, rubbish)],
        env={**os.environ, RUN_VARIABLE: launcher.run},
        # First to go at the next start: it must not reap what that start begins.
        entry=lambda entry: replace(entry, wave=-1),
    )


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    watch(Path(sys.argv[1]), int(sys.argv[2]), [Path(path) for path in sys.argv[3:]])
