"""The embedded PostgreSQL. It listens on a Unix socket only and ends with the stack."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
from psycopg import sql

from project.stack.errors import ComponentFailedError, StackError
from project.stack.postgres_account import POSTGRES_BIN_PATH, server_account
from project.stack.processes import RUN_VARIABLE
from project.stack.signals import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from project.stack.children import Child, Launcher

MAJOR = "18"
DATABASE = "aifeature"
START_S = 30.0
SOCKET_NAME = ".s.PGSQL.5432.lock"
SOCKET_LIMIT = 103 if sys.platform == "darwin" else 107
"""Longest path of a Unix socket in bytes, without its final zero."""


class EmbeddedPostgres:
    """One PostgreSQL server in one folder."""

    def __init__(
        self,
        folder: Path,
        launcher: Launcher,
        *,
        durable: bool = True,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare the server without starting it.

        Args:
            folder: The folder of `data/` and, if its path is short enough, of `socket/`.
            launcher: Starts the server.
            durable: False for tests: faster, without fsync, not safe against a crash.
            options: Server settings that replace the defaults here.
        """
        self._extra = options or {}
        self._folder = folder
        self._data = folder / "data"
        self._launcher = launcher
        self._durable = durable
        self.socket = socket_folder(folder)
        self._user: int | None = None
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """The libpq URI of the database."""
        return self._url(DATABASE)

    def start(self, tick: Callable[[], None]) -> Child:
        """Initialise the data if it is new, and start the server without waiting for it.

        Raises:
            StackError: the data belongs to another version, or initdb failed.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._user = server_account(self._folder, POSTGRES_BIN_PATH)
        self.socket.mkdir(parents=True, exist_ok=True)
        for folder in (self._folder, self.socket):
            self._own(folder)
        self._ensure_data()
        tick()
        self._child = self._launcher.launch(
            "postgres",
            [str(POSTGRES_BIN_PATH / "postgres"), "-D", str(self._data), *self._options()],
            env=self._environment(),
            cwd=self._folder,
            user=self._user,
            # SIGINT is PostgreSQL's fast shutdown. SIGTERM would wait for its clients.
            entry=lambda entry: replace(
                entry, stop_signal=signal.SIGINT, wave=1, signal_group=False
            ),
        )
        return self._child

    def ready(self, tick: Callable[[], None]) -> None:
        """Wait until it answers, and create the database if it is missing."""
        child = self._child
        if child is None:
            raise StackError("postgres was not started")

        def watch() -> None:
            tick()
            child.check()

        if not wait_until(self._answers, timeout_s=START_S, tick=watch):
            raise ComponentFailedError(f"postgres is not ready after {START_S:.0f} s: {child.log}")
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            known = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def remove_socket(self) -> None:
        """Remove the socket's folder after the end, if it is a temporary one."""
        if self.socket.parent != self._folder:
            shutil.rmtree(self.socket, ignore_errors=True)

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self.socket), safe='/')}"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _own(self, folder: Path) -> None:
        if self._user is not None:
            os.chown(folder, self._user, self._user)
        folder.chmod(0o700)

    def _ensure_data(self) -> None:
        version = self._data / "PG_VERSION"
        if version.exists():
            if (found := version.read_text().strip()) != MAJOR:
                raise StackError(
                    f"{self._data} was made by PostgreSQL {found}, this is {MAJOR}: "
                    "`make clean` removes it"
                )
            return
        draft = self._folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        command = [str(POSTGRES_BIN_PATH / "initdb"), "-D", str(draft), "-U", "postgres"]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C"]
        # The built-in locale is the same on each system.
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        command += [] if self._durable else ["--no-sync"]
        self._run(command)
        draft.rename(self._data)  # so an interrupted initdb leaves no data folder

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=self._folder,
            env=self._environment(),
            timeout=120,
            start_new_session=True,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
        )
        if done.returncode:
            raise StackError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self.socket}"',
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "fsync": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
            # A failed statement and its row contain texts of users.
            "log_error_verbosity": "terse",
            "log_min_error_statement": "panic",
            **self._extra,
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k in {"PATH", "TMPDIR", "TZ"}}
        return {**kept, "LC_ALL": "C", RUN_VARIABLE: self._launcher.run}


def socket_folder(folder: Path) -> Path:
    """Return the folder of the socket: in `folder`, or a temporary one if the path is too long.

    Raises:
        StackError: the temporary folder belongs to another user.
    """
    if _fits(folder / "socket"):
        return folder / "socket"
    name = "aif-" + hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    place = Path(tempfile.gettempdir()) / name
    if not _fits(place):
        place = Path("/tmp") / name  # noqa: S108  # a short path that always exists
    place.mkdir(mode=0o700, exist_ok=True)
    if place.is_symlink() or (os.geteuid() != 0 and place.stat().st_uid != os.getuid()):
        raise StackError(f"{place} belongs to another user: remove it or set TMPDIR")
    return place


def _fits(place: Path) -> bool:
    return len(os.fsencode(place / SOCKET_NAME)) <= SOCKET_LIMIT
