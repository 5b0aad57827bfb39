"""Run the components until one dies, a signal arrives or the work is done.

docs/decisions/process-supervision.md explains why no library does this.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, Protocol

from project.stack.children import Child, Launcher, died_in_short, stop_together, tail
from project.stack.console import complain, row
from project.stack.errors import ComponentFailedError, ReloadError, StackError, StoppedError
from project.stack.hup import Hup
from project.stack.log_files import Follower
from project.stack.signals import wait_until

if TYPE_CHECKING:
    from project.stack.components import Component
    from project.stack.signals import StopRequest

READY_S = 90.0
PATIENCE_S = 20.0
"""Seconds that a component has to be ready while a newer change waits."""

STOP_S = 15.0
"""Seconds between SIGTERM and SIGKILL for the components."""

INTERVAL_S = 0.05

LATER = "The next change that loads starts it again."

Tick = Callable[[], None]
Job = Callable[[Tick], int | None]
"""The work once all components are ready. It returns an exit code, or None to keep the stack up.
It calls the tick often; the tick raises when the stack must end."""

Reload = Callable[[Callable[[], bool]], None]
"""Loads changed code into the components. It takes a function that returns whether there is a newer
change, and raises ReloadError."""


class Idle(Protocol):
    """Called repeatedly while the stack stays up, with the function that loads changed code."""

    def __call__(self, reload: Reload, /) -> None:
        """Load a change, if there is one."""

    def is_changed(self) -> bool:
        """Return whether the code differs from what all components have loaded."""

    def forget(self) -> None:
        """Load the code again, also if it becomes what it was: a component has ended."""


class Nothing:
    """Does nothing while the stack stays up."""

    def __call__(self, reload: Reload, /) -> None:
        """Do nothing."""

    def is_changed(self) -> bool:
        """Return False."""
        return False

    def forget(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The launcher, environment and servers of the components."""

    launcher: Launcher
    env: Mapping[str, str]
    servers: Sequence[Child]
    """Started before the components and checked with them."""

    idle: Idle = field(default_factory=Nothing)


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
        except ReloadError as error:  # during the work
            complain(str(error))
            return StackError.exit_code
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
        try:
            self._await_ready(self._components)
        except ReloadError as error:
            complain(f"{error} {LATER}")
            self._around.idle.forget()
        code = self._job(self._tick)
        if code is not None:
            return code
        self._job_done = True
        while True:
            try:
                self._tick()
            except ReloadError as error:
                complain(f"{error} {LATER}")
                self._around.idle.forget()
            self._around.idle(self._reload)
            time.sleep(INTERVAL_S)

    def _reload(self, is_newer: Callable[[], bool]) -> None:
        """Load changed code into all components that run features. Workers hand their jobs over.

        Raises:
            ReloadError: a component did not load it. The next call tries again.
        """
        webs = [c for c in self._components if c.reload == "hup" and not self._is_dead(c)]
        starts = [c for c in self._components if c.reload != "never" and c not in webs]
        hups = [Hup(self._children[c.name]) for c in webs]
        stop_together([self._children[c.name] for c in starts], grace_s=STOP_S)
        self._show_output()
        self._start(starts)
        try:
            self._await_ready(starts, is_newer)
        finally:  # the next HUP must not begin before this one has ended
            if not wait_until(
                lambda: all(hup.is_done() for hup in hups), timeout_s=READY_S, tick=self._tick
            ):
                raise ReloadError(f"the web processes were not replaced in {READY_S:.0f} s")
        # The old processes end after a time even if no new one serves.
        self._await_ready(webs, is_newer, show=False)

    def _is_dead(self, component: Component) -> bool:
        return self._children[component.name].process.poll() is not None

    def _tick(self) -> None:
        """Check for signals and deaths.

        Raises:
            StackError: a signal arrived, or a component or a server died.
            ReloadError: a component died while changed code is not loaded. It is reported once.
        """
        self._stop.check()
        self._show_output()
        for server in self._around.servers:
            server.check()
        for component in self._components:
            child = self._children[component.name]
            try:
                child.check()
            except ComponentFailedError:
                if not self._may_be_down(component):
                    raise
                child.stopping = True  # the next reload starts it again
                code = child.process.wait()
                raise ReloadError(died_in_short(child.name, code, child.log)) from None

    def _may_be_down(self, component: Component) -> bool:
        """Return whether the cause may be changed code, which a later change can repair."""
        return component.reload != "never" and self._around.idle.is_changed()

    def _show_output(self) -> None:
        for follower in self._followers.values():
            follower.show()

    def _await_ready(
        self,
        components: Sequence[Component],
        is_newer: Callable[[], bool] = lambda: False,
        *,
        show: bool = True,
    ) -> None:
        waiting = list(components)
        begun = time.monotonic()
        while waiting:
            self._tick()
            for component in [c for c in waiting if c.ready()]:
                took = time.monotonic() - begun
                if show:
                    row(component.name, "ready", f"{component.address}  ({took:.1f} s)")
                waiting.remove(component)
            waited = time.monotonic() - begun
            if waiting and (waited > READY_S or (waited > PATIENCE_S and is_newer())):
                self._raise_not_ready(waiting[0], waited)
            time.sleep(INTERVAL_S)

    def _raise_not_ready(self, component: Component, waited_s: float) -> NoReturn:
        name, log = component.name, self._around.launcher.logs / f"{component.name}.log"
        problem = f"{name} is not ready after {waited_s:.0f} s"
        if self._may_be_down(component):
            raise ReloadError(f"{problem} (log: {log}).")
        raise ComponentFailedError(f"{problem}; the end of {log}:\n{tail(log)}")
