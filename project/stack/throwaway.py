"""Run PostgreSQL and Valkey for one command or one test run, in a temporary folder.

`python -m project.stack.throwaway COMMAND...` runs the command with their addresses in its
environment.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from project.stack import reaper
from project.stack.children import Launcher
from project.stack.instance import single_instance
from project.stack.local_dir import LocalDir
from project.stack.ports import take_port
from project.stack.postgres import EmbeddedPostgres
from project.stack.processes import reap
from project.stack.valkey import EmbeddedValkey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PORT = 6500
"""The first port for Valkey. It is far from the port of the local stack."""

HURRY_S = 5.0
"""Seconds that leftovers of killed servers get before SIGKILL."""


def _no_tick() -> None:
    """Do nothing: Ctrl-C raises KeyboardInterrupt here."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of one context, with the means to stop and start them."""

    env: dict[str, str]
    """LOCAL_DIR, and the DATABASE_URL and REDIS_URL of the requested servers."""

    launcher: Launcher
    """Starts processes that end with the servers, also if this process is killed."""

    postgres: EmbeddedPostgres | None
    valkey: EmbeddedValkey | None


@contextmanager
def servers(
    *,
    database: bool = True,
    redis: bool = True,
    durable: bool = False,
    options: Mapping[str, str] | None = None,
) -> Iterator[dict[str, str]]:
    """Run the servers while the context lasts. A reaper ends them if this process is killed.

    `durable` and `options` are arguments of EmbeddedPostgres.

    Yields:
        The environment variables with their addresses.
    """
    with running(database=database, redis=redis, durable=durable, options=options) as found:
        yield found.env


@contextmanager
def running(
    *,
    database: bool = True,
    redis: bool = True,
    durable: bool = False,
    options: Mapping[str, str] | None = None,
    keep: Path | None = None,
) -> Iterator[Servers]:
    """Run the servers as `servers` does. Yield the means to restart them and to add processes.

    `keep` is a folder instead of the temporary one. It stays, with the database in it. Make the
    servers durable, then they survive a kill.

    Raises:
        AlreadyRunningError: other servers use the folder `keep`.
    """
    with ExitStack() as exits:
        root = (keep or Path(tempfile.mkdtemp(prefix="aif-"))).resolve()
        if keep is None:
            exits.callback(shutil.rmtree, root, ignore_errors=True)
        local = LocalDir(root)
        local.prepare()
        if keep is not None:
            exits.enter_context(single_instance(local))
            reap(local.pids, grace_s=HURRY_S)
        launcher = Launcher(local.pids, local.logs, secrets.token_hex(8))
        exits.callback(reap, local.pids)  # processes that other code started here
        exits.callback(reaper.start(launcher, *([] if keep else [root])).stop)
        found = {"LOCAL_DIR": str(root / "local")}
        valkey: EmbeddedValkey | None = None
        postgres: EmbeddedPostgres | None = None
        if redis:
            port = exits.enter_context(take_port(PORT))
            valkey = EmbeddedValkey(root / "valkey", launcher, port=port)
            exits.callback(valkey.start().stop)
            found["REDIS_URL"] = valkey.url
        if database:
            postgres = EmbeddedPostgres(
                root / "postgres", launcher, durable=durable, options=options
            )
            exits.callback(postgres.remove_socket)
            exits.callback(postgres.start(_no_tick).stop)
            found["DATABASE_URL"] = postgres.url
        for server in (valkey, postgres):
            if server is not None:
                server.ready(_no_tick)
        yield Servers(found, launcher, postgres, valkey)


def stand_in_settings() -> dict[str, str]:
    """Return the other variables that `project.settings` needs. They lead to no real service."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "LOCAL_STACK": "1",
        "HTTPS": "false",
        "DEBUG": "false",
        "PROVIDER": "sandbox",
        "ANTHROPIC_API_KEY": "test-not-a-key",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",  # the discard port: no server answers
        "ALLOWED_HOSTS": "127.0.0.1,localhost,testserver",
    }


def main() -> int:
    """Run the command on the command line.

    Returns:
        Its exit code.
    """
    with servers() as found:
        environment = {**os.environ, **stand_in_settings(), **found}
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
