# ruff: noqa: INP001 (a folder of settings, not a package)
"""Refuse a reload to code that does not boot. The running workers continue to serve.

Without this check gunicorn stops when a new worker cannot start. The main process loads this file
once, and HUP does not reload it, so it imports no other code of the project.
docs/decisions/web-reload.md gives the reasons.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

_CHECK: Final = """
from gunicorn.app.wsgiapp import WSGIApplication
WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]").load()
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "check", "--database", "default"])
"""
"""Loads the new gunicorn settings with this process's arguments, the application, and all that a
request may need. The database adds warnings about operators' settings. An unavailable one refuses
nothing."""

LIMIT_S: Final = 60
"""Seconds that a check may take. Meanwhile the main process waits and its workers serve."""


def install(server: Any) -> None:
    """Check the code before each reload of this main process. Call it once."""
    reload = server.reload

    def reload_if_it_boots() -> None:
        if not _boots(cwd=_folder(server)):
            server.log.error(
                "HUP refused: the new release does not boot, so the old one continues to serve. "
                "Fix the error that is reported above, then send HUP again. If a worker dies "
                "before that, gunicorn starts it from the new release."
            )
            return
        reload()

    server.reload = reload_if_it_boots


def _folder(server: Any) -> Path:
    """Return the folder of the new release, also if the given path contains a symbolic link."""
    return Path(server.cfg.config).resolve().parents[1]


def _boots(*, cwd: Path) -> bool:
    command = [sys.executable, "-c", _CHECK, *sys.argv[1:]]
    try:
        return subprocess.run(command, cwd=cwd, timeout=LIMIT_S, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"boot check: it took longer than {LIMIT_S} s\n")
    except OSError as error:
        sys.stderr.write(f"boot check: {error}\n")
    return False
