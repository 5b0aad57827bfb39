# ruff: noqa: INP001 (a folder of settings, not a package)
"""Refuse a reload to code that does not boot. The running workers continue to serve.

Without this check gunicorn stops when a new worker cannot start. The main process loads this file
once, and HUP does not reload it, so it imports no other code of the project.
docs/decisions/web-reload.md gives the reasons.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

LIMIT_S: Final = 60
"""Seconds that a check may take. Meanwhile the main process waits and its workers serve."""


def install(server: Any) -> None:
    """Check the code before each reload of this main process. Call it once."""
    reload = server.reload

    def reload_if_it_boots() -> None:
        for command in _checks():
            if not _succeeds(command, cwd=_folder(server)):
                server.log.error(
                    "HUP refused: the new release does not boot, so the old one continues to "
                    "serve. Fix the error that %r reports above, then send HUP again. If a worker "
                    "dies before that, gunicorn starts it from the new release.",
                    " ".join(command[1:]),
                )
                return
        reload()

    server.reload = reload_if_it_boots


def _checks() -> tuple[list[str], ...]:
    """Return the commands that load the new gunicorn settings, and all that a request may need."""
    return (
        [sys.executable, "-m", "gunicorn", *sys.argv[1:], "--check-config"],
        # The database adds warnings about operators' settings. An unavailable one refuses nothing.
        [sys.executable, "manage.py", "check", "--database", "default"],
    )


def _folder(server: Any) -> Path:
    """Return the folder of the new release, also if the given path contains a symbolic link."""
    return Path(server.cfg.config).resolve().parents[1]


def _succeeds(command: Sequence[str], *, cwd: Path) -> bool:
    try:
        return subprocess.run(command, cwd=cwd, timeout=LIMIT_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{error}\n")
        return False
