"""PostgreSQL and Valkey for one command or one test run, in a temporary folder.

`python -m project.stack.throwaway COMMAND...` runs the command with them in its environment.
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
from project.stack.ports import take_port
from project.stack.postgres import EmbeddedPostgres
from project.stack.processes import reap
from project.stack.valkey import EmbeddedValkey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PORT = 6500
"""Away from the local stack's: its Valkey keeps the port people know."""


def _no_tick() -> None:
    """Nothing to look at: Ctrl-C raises KeyboardInterrupt here."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of one context, for those who want to stop and start them."""

    env: dict[str, str]
    """LOCAL_DIR, and DATABASE_URL and REDIS_URL for those that were asked for."""

    launcher: Launcher
    """What it starts ends with the servers if we are killed."""

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
    """Run the servers while the context lasts; a warden ends them if we are killed.

    `durable` and `options` are those of EmbeddedPostgres.

    Yields:
        The environment that leads to them.
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
) -> Iterator[Servers]:
    """The same as `servers`, with the means to stop and start them and to add processes."""
    with ExitStack() as exits:
        root = Path(tempfile.mkdtemp(prefix="aif-")).resolve()
        exits.callback(shutil.rmtree, root, ignore_errors=True)
        if os.geteuid() == 0:
            root.chmod(0o711)  # PostgreSQL's user passes through
        for name in ("pids", "logs"):
            (root / name).mkdir(mode=0o700)
        launcher = Launcher(root / "pids", root / "logs", secrets.token_hex(8))
        exits.callback(reap, root / "pids")  # what others started here and left behind
        exits.callback(reaper.start(launcher, root).stop)
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
    """The other variables that `project.settings` wants, with values that reach nobody."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "LOCAL_STACK": "1",
        "HTTPS": "false",
        "DEBUG": "false",
        "PROVIDER": "sandbox",
        "ANTHROPIC_API_KEY": "test-not-a-key",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",  # the discard port: nobody answers
        "ALLOWED_HOSTS": "127.0.0.1,localhost,testserver",
    }


def main() -> int:
    """Run the command given on the command line.

    Returns:
        Its exit code.
    """
    with servers() as found:
        environment = {**os.environ, **stand_in_settings(), **found}
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
