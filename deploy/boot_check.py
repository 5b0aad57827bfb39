# ruff: noqa: INP001 (a folder of settings, not a package)
"""Refuses a reload to code that does not boot: the workers that run go on serving.

Without it gunicorn stops for good when a new worker cannot start. The main process loads this file
once and imports nothing of ours: what it has loaded, HUP does not load anew.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

LIMIT_S: Final = 60
"""Seconds a check may take; the main process does nothing else meanwhile, its workers serve on."""


def install(server: Any) -> None:
    """Have this main process check the code before each reload. Called once, when it is ready."""
    reload = server.reload

    def reload_if_it_boots() -> None:
        for command in _checks():
            if not _succeeds(command, cwd=_folder(server)):
                server.log.error(
                    "HUP refused: the new release does not boot, so the old one serves on. "
                    "Mend what %r says above, then send HUP again. A worker that dies before that "
                    "is started from the new release.",
                    " ".join(command[1:]),
                )
                return
        reload()

    server.reload = reload_if_it_boots


def _checks() -> tuple[list[str], ...]:
    """The new settings of gunicorn and the application in them; all that a request may need."""
    return (
        [sys.executable, "-m", "gunicorn", *sys.argv[1:], "--check-config"],
        # With the database, for warnings about what operators set; one that is away is no reason.
        [sys.executable, "manage.py", "check", "--database", "default"],
    )


def _folder(server: Any) -> Path:
    """Of the new release, also where the path that was given leads through a link to it."""
    return Path(server.cfg.config).resolve().parents[1]


def _succeeds(command: Sequence[str], *, cwd: Path) -> bool:
    try:
        return subprocess.run(command, cwd=cwd, timeout=LIMIT_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{error}\n")
        return False
