"""Start a stack, run it and stop it."""

from __future__ import annotations

import os
import secrets as random
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from project.stack import reaper
from project.stack.children import Child, Launcher
from project.stack.console import row, say
from project.stack.errors import ComponentFailedError
from project.stack.instance import Instance, single_instance
from project.stack.processes import RUN_VARIABLE, reap
from project.stack.signals import StopRequest
from project.stack.supervisor import Idle, Nothing, Supervisor, Surroundings, Tick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from project.stack.components import Component
    from project.stack.local_dir import LocalDir

HURRY_S = 5.0
"""Seconds that leftovers of a killed stack get before SIGKILL."""


@dataclass(frozen=True, slots=True)
class Session:
    """A stack during its start, as its parts see it: launcher, exits, stop request."""

    local: LocalDir
    launcher: Launcher
    exits: ExitStack
    stop: StopRequest
    instance: Instance

    def server(self, child: Child) -> Child:
        """Stop this server when the stack ends, after the components."""
        self.exits.callback(child.stop)
        return child


@dataclass(frozen=True, slots=True)
class Prepared:
    """The components to supervise, with their environment and servers."""

    components: Sequence[Component]
    env: Mapping[str, str]
    servers: Sequence[Child]
    url: str
    """The address that a second start shows."""

    idle: Idle = field(default_factory=Nothing)


class Plan(Protocol):
    """The parts of a stack. Tests pass one with stand-ins."""

    def prepare(self, session: Session) -> Prepared:
        """Start the servers, bring the database up to date, list the components."""

    def when_ready(self, tick: Tick) -> int | None:
        """Run once all components are ready. An exit code ends the stack, None keeps it up."""


def run_stack(local: LocalDir, make_plan: Callable[[], Plan], *, verbose: bool = False) -> int:
    """Run one stack to its end.

    Args:
        local: The data folder.
        make_plan: Called once the folder is locked. It may check the environment.
        verbose: Show the output of all components.

    Returns:
        The exit code.

    Raises:
        StackError: it did not come up. No process of it is left.
    """
    stop = StopRequest()
    stop.install()
    local.prepare()
    with ExitStack() as exits:
        instance = exits.enter_context(single_instance(local))
        clean_up(local)
        launcher = Launcher(local.pids, local.logs, random.token_hex(8))
        plan = make_plan()
        exits.callback(say, "stopped.")
        exits.callback(reaper.start(launcher, local.env_file).stop)
        session = Session(local, launcher, exits, stop, instance)
        prepared = plan.prepare(session)
        instance.announce(prepared.url)
        exits.callback(local.env_file.unlink, missing_ok=True)
        around = Surroundings(
            launcher,
            {**prepared.env, RUN_VARIABLE: launcher.run},
            prepared.servers,
            prepared.idle,
        )
        return Supervisor(prepared.components, around, stop, plan.when_ready).run(verbose=verbose)


def clean_up(local: LocalDir) -> None:
    """End the processes that a killed stack left. The caller holds the folder."""
    for name in reap(local.pids, grace_s=HURRY_S):
        row(name, "reaped", "left by a stack that was killed")
    local.env_file.unlink(missing_ok=True)


def run_step(
    session: Session,
    name: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout_s: float,
    tick: Tick,
) -> str:
    """Run one command to its end, or until the tick raises. Return its output.

    Raises:
        ComponentFailedError: it failed. Its output is in the message.
        TimeLimitError: it took too long.
    """

    def check() -> None:
        session.stop.check()
        tick()

    with ExitStack() as step:
        variables = {**os.environ, **env, RUN_VARIABLE: session.launcher.run}
        child = session.launcher.launch(
            name, argv, env=variables, entry=lambda entry: replace(entry, wave=0)
        )
        step.callback(child.stop)
        code = child.wait(timeout_s=timeout_s, tick=check)
        text = child.log.read_text(encoding="utf-8", errors="replace").strip()
        if code:
            raise ComponentFailedError(f"{name} failed (exit code {code}):\n{text}")
        return text
