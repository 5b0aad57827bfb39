"""Run the components until one dies, a signal arrives or the work is done.

docs/decisions/process-supervision.md explains why no library does this.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from project.stack.children import Child, Launcher, stop_together, tail
from project.stack.console import complain, row
from project.stack.errors import ComponentFailedError, StackError, StoppedError
from project.stack.log_files import Follower

if TYPE_CHECKING:
    from project.stack.components import Component
    from project.stack.signals import StopRequest

READY_S = 90.0
STOP_S = 15.0
"""Seconds between SIGTERM and SIGKILL for the components."""

INTERVAL_S = 0.05

Tick = Callable[[], None]
Job = Callable[[Tick], int | None]
"""The work once all components are ready. It returns an exit code, or None to keep the stack up.
It calls the tick often; the tick raises when the stack must end."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The launcher, environment and servers of the components."""

    launcher: Launcher
    env: Mapping[str, str]
    servers: Sequence[Child]
    """Started before the components and checked with them."""


class Supervisor:
    """Starts the components, checks that they live, and stops them."""

    def __init__(
        self, components: Sequence[Component], around: Surroundings, stop: StopRequest, job: Job
    ) -> None:
        self._components = components
        self._around = around
        self._stop = stop
        self._job = job
        self._job_done = False
        self._children: list[Child] = []
        self._followers: list[Follower] = []

    def run(self, *, verbose: bool) -> int:
        """Start all components and block until all have ended.

        Args:
            verbose: Show the components' output on the terminal too.

        Returns:
            The exit code: 0 if the job was done or Ctrl-C ended a stack that was up.
        """
        try:
            self._start(verbose=verbose)
            return self._work()
        except StoppedError as stopped:
            # Ctrl-C is the normal end of a stack that stays up.
            is_normal = stopped.signum == signal.SIGINT and self._job_done
            return 0 if is_normal else stopped.exit_code
        except StackError as error:
            complain(str(error))
            return error.exit_code
        finally:
            stop_together(self._children, grace_s=STOP_S)
            self._show_output()

    def _start(self, *, verbose: bool) -> None:
        around = self._around
        for component in self._components:
            env = {**around.env, **component.env}
            child = around.launcher.launch(component.name, component.argv, env=env)
            self._children.append(child)
            if verbose:
                self._followers.append(Follower(child.log))

    def _work(self) -> int:
        self._await_ready()
        code = self._job(self._tick)
        if code is not None:
            return code
        self._job_done = True
        while True:
            self._tick()
            time.sleep(INTERVAL_S)

    def _tick(self) -> None:
        """Raise if a signal arrived, or if a component or a server died."""
        self._stop.check()
        self._show_output()
        for child in (*self._children, *self._around.servers):
            child.check()

    def _show_output(self) -> None:
        for follower in self._followers:
            follower.show()

    def _await_ready(self) -> None:
        waiting = list(self._components)
        begun = time.monotonic()
        while waiting:
            self._tick()
            for component in [c for c in waiting if c.ready()]:
                took = time.monotonic() - begun
                row(component.name, "ready", f"{component.address}  ({took:.1f} s)")
                waiting.remove(component)
            if waiting and time.monotonic() > begun + READY_S:
                name = waiting[0].name
                log = self._around.launcher.logs / f"{name}.log"
                raise ComponentFailedError(
                    f"{name} is not ready after {READY_S:.0f} s; the end of {log}:\n{tail(log)}"
                )
            time.sleep(INTERVAL_S)
