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
from project.stack.errors import ComponentFailedError, ReloadError, StackError, StoppedError
from project.stack.hup import Hup
from project.stack.log_files import Follower
from project.stack.signals import wait_until

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

Idle = Callable[[Callable[[], None]], None]
"""Called repeatedly while the stack stays up, with a function that loads changed code into the
components. That function raises ReloadError."""


def nothing(_reload: Callable[[], None]) -> None:
    """Do nothing while the stack stays up."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The launcher, environment and servers of the components."""

    launcher: Launcher
    env: Mapping[str, str]
    servers: Sequence[Child]
    """Started before the components and checked with them."""

    idle: Idle = nothing


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
        self._verbose = False
        self._children: dict[str, Child] = {}
        self._followers: dict[str, Follower] = {}

    def run(self, *, verbose: bool) -> int:
        """Start all components and block until all have ended.

        Args:
            verbose: Show the components' output on the terminal too.

        Returns:
            The exit code: 0 if the job was done or Ctrl-C ended a stack that was up.
        """
        self._verbose = verbose
        try:
            self._start(self._components)
            return self._work()
        except StoppedError as stopped:
            # Ctrl-C is the normal end of a stack that stays up.
            is_normal = stopped.signum == signal.SIGINT and self._job_done
            return 0 if is_normal else stopped.exit_code
        except StackError as error:
            complain(str(error))
            return error.exit_code
        finally:
            stop_together(list(self._children.values()), grace_s=STOP_S)
            self._show_output()

    def _start(self, components: Sequence[Component]) -> None:
        around = self._around
        for component in components:
            env = {**around.env, **component.env}
            child = around.launcher.launch(component.name, component.argv, env=env)
            self._children[component.name] = child
            if self._verbose:
                self._followers[component.name] = Follower(child.log)

    def _work(self) -> int:
        self._await_ready(self._components)
        code = self._job(self._tick)
        if code is not None:
            return code
        self._job_done = True
        while True:
            self._tick()
            self._around.idle(self._reload)
            time.sleep(INTERVAL_S)

    def _reload(self) -> None:
        """Load changed code into all components that run features. Workers hand their jobs over.

        Raises:
            ReloadError: a component did not load it. The next call tries again.
        """
        workers = [c for c in self._components if c.reload == "restart"]
        hups = [Hup(self._children[c.name]) for c in self._components if c.reload == "hup"]
        stop_together([self._children[c.name] for c in workers], grace_s=STOP_S)
        self._show_output()
        self._start(workers)
        try:
            self._await_ready(workers)
        except ComponentFailedError as error:
            dead = [c.name for c in workers if self._children[c.name].process.poll() is not None]
            if not dead:
                raise
            for name in dead:
                self._children[name].stopping = True  # the next reload starts it again
            raise ReloadError(str(error)) from None
        if not wait_until(
            lambda: all(hup.is_done() for hup in hups), timeout_s=READY_S, tick=self._tick
        ):
            raise ReloadError(f"the web processes were not replaced in {READY_S:.0f} s")

    def _tick(self) -> None:
        """Raise if a signal arrived, or if a component or a server died."""
        self._stop.check()
        self._show_output()
        for child in (*self._children.values(), *self._around.servers):
            child.check()

    def _show_output(self) -> None:
        for follower in self._followers.values():
            follower.show()

    def _await_ready(self, components: Sequence[Component]) -> None:
        waiting = list(components)
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
