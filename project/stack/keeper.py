"""The process that stands between the supervisor and one component."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

from honcho.process import Process

from project.stack.log_files import LogFile
from project.stack.processes import ProcessRecord, end, record, start_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Keeper(Process):
    """Starts the component, writes its output to a log file, and its pid file.

    honcho would send every line through the supervisor. A log file of our own keeps a busy
    component from slowing the others down, and never blocks when the supervisor has gone.
    """

    def __init__(
        self,
        cmd: str,
        *,
        name: str,
        quiet: bool,
        colour: str | None,
        env: Mapping[str, str],
        cwd: str | None,
        pids: Path,
        log: Path,
        run: str,
    ) -> None:
        super().__init__(cmd, name=name, colour=colour, env=env, cwd=cwd)  # type: ignore[no-untyped-call]
        self._echo = not quiet
        self._pids = pids
        self._log_path = log
        self._run = run
        self._log: LogFile | None = None

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:  # noqa: FBT001, FBT002  # honcho's signature
        """Run the component to its end (in this process, which honcho has forked)."""
        # A terminal that goes away must not take the keeper from its component. A handler, not
        # SIG_IGN: the component would inherit that.
        signal.signal(signal.SIGHUP, lambda *_: None)
        keeper = f"{self.name}.keeper"
        self._record(keeper, os.getpid(), own_group=False, wave=1)
        with closing(LogFile(self._log_path)) as self._log:
            super().run(events, ignore_signals)  # type: ignore[no-untyped-call]
        (self._pids / f"{keeper}.json").unlink(missing_ok=True)

    def _send_message(self, data: Any, type: str = "line") -> None:  # noqa: A002  # honcho's name
        if type == "start":
            entry = self._record(self.name, data["pid"], own_group=True, wave=0)
            threading.Thread(target=self._end_group, args=[entry], daemon=True).start()
        if type == "line":
            if self._log is not None:
                self._log.write(data)
            if not self._echo:
                return
        super()._send_message(data, type)  # type: ignore[no-untyped-call]

    def _record(self, name: str, pid: int, *, own_group: bool, wave: int) -> ProcessRecord:
        entry = ProcessRecord(name, pid, start_time(pid), self._run, own_group=own_group, wave=wave)
        record(self._pids, entry)
        return entry

    def _end_group(self, entry: ProcessRecord) -> None:
        """End what outlives its leader: while that holds the output open, nobody sees a death."""
        if self._child is not None:
            self._child.wait()
        end([entry], grace_s=2.0)
