"""A system of its own for one command: servers, sandbox provider, and the workers that it needs.

`python -m evals.local COMMAND...` runs the command with the addresses in its environment. Nothing
of it stays, and no system that is running is touched.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from project.stack.children import PYTHON
from project.stack.components import django_components
from project.stack.local_dir import CHECKOUT
from project.stack.ports import HOST, take_port
from project.stack.signals import wait_until
from project.stack.throwaway import running, stand_in_settings

THREADS: Final = 48
"""Threads of the worker of evaluations: a call takes seconds and hardly any CPU."""

START_S: Final = 60.0
SANDBOX_PORT: Final = 9300


@contextmanager
def system() -> Iterator[dict[str, str]]:
    """Run the system while the context lasts. Yield the environment of its processes."""
    with running() as servers, ExitStack() as exits:
        port = exits.enter_context(take_port(SANDBOX_PORT))
        env = {
            **os.environ,
            **stand_in_settings(),
            **servers.env,
            "ANTHROPIC_BASE_URL": f"http://{HOST}:{port}",
            "DJANGO_SETTINGS_MODULE": "project.settings",
        }
        _migrate(env)
        logs = Path(servers.launcher.logs)
        found = django_components(
            logs=logs, ports={"web": 0, "flower": 0, "sandbox": port}, flower_password=""
        )
        wanted = {"sandbox": (), "worker-control": (), "worker-evals": ("-c", str(THREADS))}
        for component in found:
            if component.name not in wanted:
                continue
            argv = [*component.argv, *wanted[component.name]]
            child = servers.launcher.launch(component.name, argv, env={**env, **component.env})
            exits.callback(child.stop)
            if not wait_until(component.ready, timeout_s=START_S, tick=child.check):
                raise SystemExit(f"{component.name} is not ready after {START_S:.0f} s")
        yield env


def _migrate(env: dict[str, str]) -> None:
    done = subprocess.run(
        [PYTHON, "manage.py", "migrate", "-v0"],
        env=env,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the database could not be migrated:\n{done.stderr[-2000:]}")


def main() -> int:
    with system() as env:
        return subprocess.run(sys.argv[1:], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
