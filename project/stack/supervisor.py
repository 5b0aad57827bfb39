"""Runs the components under honcho until one dies, a signal comes, or the work is done."""

from __future__ import annotations

import functools
import shlex
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import honcho.manager
from honcho.manager import Manager
from honcho.printer import Message, Printer

from project.stack.children import Child, died, tail
from project.stack.console import complain, row
from project.stack.errors import ComponentFailedError, StackError, StoppedError
from project.stack.keeper import Keeper
from project.stack.log_files import rotate
from project.stack.processes import end, forget, recorded
from project.stack.signals import StopRequest, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from project.stack.components import Component

READY_S = 90.0
STOP_S = 15
"""Seconds the components get between SIGTERM and SIGKILL."""

honcho.manager.KILL_WAIT = STOP_S  # a module constant there: it cannot be set otherwise

Tick = Callable[[], None]
Job = Callable[[Tick], int | None]
"""What to do once all are ready: returns an exit code, or None to stay up. It calls the tick often,
which raises when the stack has to come down."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the components run in."""

    pids: Path
    logs: Path
    run: str
    env: Mapping[str, str]
    servers: Sequence[Child]
    """Started before, watched along with the components."""


class Supervisor(Manager):
    """honcho's manager, with readiness, log files, and one clear line when something dies."""

    def __init__(
        self, components: Sequence[Component], around: Surroundings, stop: StopRequest, job: Job
    ) -> None:
        super().__init__(Printer(sys.stdout))  # type: ignore[no-untyped-call]
        self._components = components
        self._around = around
        self._stop = stop
        self._job = job
        self._begun = time.monotonic()
        self._code = 1
        self._job_done = False
        self._culprit: str | None = None
        self._once = threading.Lock()
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def run(self, *, verbose: bool) -> int:
        """Start all components and block until all have ended.

        Args:
            verbose: Show the components' output on the terminal too.

        Returns:
            The exit code: 0 if the job was done or Ctrl-C ended a stack that was up.
        """
        around = self._around
        for component in self._components:
            log = around.logs / f"{component.name}.log"
            rotate(log)
            setup = functools.partial(Keeper, pids=around.pids, log=log, run=around.run)
            self._process_ctor = setup  # type: ignore[assignment]  # called like the class
            self.add_process(  # type: ignore[no-untyped-call]
                component.name,
                f"exec {shlex.join(component.argv)}",  # no shell in between: signals arrive
                quiet=not verbose,
                env={**around.env, **component.env},
            )
        self.loop()  # type: ignore[no-untyped-call]
        self._watcher.join()
        return self._code

    def terminate(self) -> None:
        """Send SIGTERM once, whoever asks first: honcho's loop or our watcher."""
        with self._once:
            # Before the signals: afterwards all are dead, and the first one is to be named.
            self._culprit = self._culprit or self._first_dead()
            super().terminate()  # type: ignore[no-untyped-call]

    def _start(self) -> None:
        self._stop.install()  # honcho has just put handlers of its own in place
        super()._start()  # type: ignore[no-untyped-call]
        self._watcher.start()  # after the forks: a forked thread would be half a thread

    def _system_print(self, data: str) -> None:
        with (self._around.logs / "supervisor.log").open("a") as log:
            log.write(f"{self._clock.now():%H:%M:%S} {data}")

    def _watch(self) -> None:
        try:
            self._code = self._work()
        except StoppedError as stopped:
            # Ctrl-C is how a stack that stays up is meant to end.
            is_normal = stopped.signum == signal.SIGINT and self._job_done
            self._code = 0 if is_normal else stopped.exit_code
        except StackError as error:
            complain(str(error))
            self._code = error.exit_code
        except Exception:  # noqa: BLE001  # whatever it is: the components have to be stopped
            complain(traceback.format_exc())
        finally:
            self._bring_down()

    def _work(self) -> int:
        self._await_ready()
        code = self._job(self._tick)
        if code is not None:
            return code
        self._job_done = True
        while True:
            self._tick()
            time.sleep(0.1)

    def _tick(self) -> None:
        """Raise if a signal came, or if a component or a server died."""
        self._stop.check()
        name = self._culprit or self._first_dead()
        if name is not None:
            code = self._processes[name]["returncode"]
            raise ComponentFailedError(died(name, code, self._around.logs / f"{name}.log"))
        for name, state in list(self._processes.items()):
            self._notice_dead_keeper(name, state)
        for server in self._around.servers:
            server.check()

    def _first_dead(self) -> str | None:
        states = list(self._processes.items())
        return next((name for name, state in states if state.get("returncode") is not None), None)

    def _notice_dead_keeper(self, name: str, state: Mapping[str, object]) -> None:
        process = state.get("process")
        if process is None or process.is_alive() or process.exitcode == 0:  # type: ignore[attr-defined]
            return
        self._put(name, "stop", {"returncode": -signal.SIGKILL})
        raise ComponentFailedError(f"the keeper of {name} was killed")

    def _put(self, name: str, kind: str, data: dict[str, int]) -> None:
        """Say in a keeper's place what it cannot say any more, so that honcho's loop ends."""
        self.events.put(
            Message(type=kind, data=data, time=self._clock.now(), name=name, colour=None)
        )

    def _await_ready(self) -> None:
        waiting = list(self._components)
        limit = self._begun + READY_S
        while waiting:
            self._tick()
            for component in [c for c in waiting if c.ready()]:
                took = time.monotonic() - self._begun
                row(component.name, "ready", f"{component.address}  ({took:.1f} s)")
                waiting.remove(component)
            if waiting and time.monotonic() > limit:
                name = waiting[0].name
                log = self._around.logs / f"{name}.log"
                raise ComponentFailedError(
                    f"{name} is not ready after {READY_S:.0f} s; the end of {log}:\n{tail(log)}"
                )
            time.sleep(0.05)

    def _bring_down(self) -> None:
        """SIGTERM to all, a bounded wait, SIGKILL; honcho's loop then sees the end of each."""
        wait_until(self._all_started, timeout_s=STOP_S)
        self.terminate()
        if not wait_until(self._all_stopped, timeout_s=STOP_S):
            self.kill()  # type: ignore[no-untyped-call]
        # Grandchildren that outlived their component, and components whose keeper was killed.
        names = {component.name for component in self._components}
        entries = [entry for entry in recorded(self._around.pids) if entry.name in names]
        end(entries, grace_s=2.0)
        for entry in entries:
            forget(self._around.pids, entry)
        for name, state in list(self._processes.items()):
            if state.get("returncode") is None and not state["process"].is_alive():
                self._put(name, "start", {"pid": 0})
                self._put(name, "stop", {"returncode": 1})
