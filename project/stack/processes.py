"""Write pid files and end their processes. A pid that another process now has is not touched."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from project.stack.local_dir import write_private
from project.stack.signals import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

RUN_VARIABLE = "AIFEATURE_STACK_RUN"
"""The environment variable with the random id of the run, in each process of a stack."""

SAME_START_S = 2.0
"""Start times within this many seconds mean the same process. Pids do not wrap that fast."""

_PROC = Path("/proc")

GRACE_S = 10.0
KILL_WAIT_S = 5.0


def _boot_id() -> str:
    """Return the id of the machine's present boot; empty if the system has none."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process of the stack, as its pid file describes it."""

    name: str
    pid: int
    started: float
    """Seconds, as `start_time` returns them."""

    run: str
    """The id of the run that started it."""

    own_group: bool = True
    """Whether it leads a process group, which ends with it."""

    stop_signal: int = signal.SIGTERM
    wave: int = 0
    """Lower waves end first. Servers end after the processes that use them."""

    signal_group: bool = True
    """False if only the leader gets the signal. PostgreSQL's helpers treat SIGINT differently."""

    boot: str = field(default_factory=_boot_id)
    """The id of the machine's boot in which it started."""


def record(folder: Path, entry: ProcessRecord) -> None:
    """Write the pid file."""
    write_private(folder / f"{entry.name}.json", json.dumps(asdict(entry)))


def start_time(pid: int) -> float:
    """Return the start of a process in seconds since the boot, or 0 if it has ended.

    The system's clock may change while the process lives, for example when a machine wakes up.
    Without /proc it returns the start in seconds since the epoch.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return _start_moment(pid)
    # The name before it is in brackets, and may contain any character.
    return int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def _start_moment(pid: int) -> float:
    try:
        return 0.0 if _PROC.exists() else float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0


def recorded(folder: Path) -> list[ProcessRecord]:
    """Return all records of the folder. Remove files that cannot be read."""
    entries = []
    for path in sorted(folder.glob("*.json")):
        try:
            entries.append(ProcessRecord(**json.loads(path.read_text())))
        except FileNotFoundError:
            continue
        except (ValueError, TypeError):
            path.unlink(missing_ok=True)
    return entries


def forget(folder: Path, entry: ProcessRecord) -> None:
    """Remove the pid file, unless it describes a newer process."""
    path = folder / f"{entry.name}.json"
    with contextlib.suppress(FileNotFoundError, ValueError):
        if json.loads(path.read_text()).get("pid") == entry.pid:
            path.unlink()


def _is_leader(process: psutil.Process, entry: ProcessRecord) -> bool:
    started = start_time(process.pid)
    same_start = entry.boot == _boot_id() and abs(started - entry.started) < SAME_START_S
    return same_start or _run_of(process) == entry.run


def _run_of(process: psutil.Process) -> str | None:
    try:
        found: str | None = process.environ().get(RUN_VARIABLE)
    except (psutil.Error, OSError):
        return None
    return found


def _in_group(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group
    except (ProcessLookupError, PermissionError):
        return False


def members(entry: ProcessRecord) -> list[psutil.Process]:
    """Return the living processes of a record: its leader and its group, if they are ours."""
    found = []
    leader_lives = False
    group = []
    for process in psutil.process_iter():
        if process.pid != entry.pid and not (entry.own_group and _in_group(process, entry.pid)):
            continue
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.pid != entry.pid:
                group.append(process)
            elif _is_leader(process, entry):
                leader_lives = True
                found.append(process)
    found += [p for p in group if leader_lives or _run_of(p) == entry.run]
    return found


def _send(process: psutil.Process, signum: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process.send_signal(signum)


def end(entries: Iterable[ProcessRecord], *, grace_s: float = GRACE_S) -> list[ProcessRecord]:
    """Stop all of them together: with their own signal, and after a bounded wait with SIGKILL.

    Returns:
        The records whose processes were alive.
    """
    alive = [(entry, found) for entry in entries if (found := members(entry))]
    for entry, found in alive:
        for process in found:
            if entry.signal_group or process.pid == entry.pid:
                _send(process, entry.stop_signal)

    def gone() -> bool:
        return not any(members(entry) for entry, _ in alive)

    if alive and not wait_until(gone, timeout_s=grace_s):
        for entry, _ in alive:
            for process in members(entry):
                _send(process, signal.SIGKILL)
        wait_until(gone, timeout_s=KILL_WAIT_S)
    return [entry for entry, _ in alive]


def reap(folder: Path, *, grace_s: float = GRACE_S, but: int | None = None) -> list[str]:
    """End all processes that the pid files name, wave by wave, and remove the files.

    Args:
        folder: The folder of the pid files.
        grace_s: Seconds until SIGKILL, for each wave.
        but: The caller's own pid, which is not touched.

    Returns:
        The names of the processes that were still running.
    """
    entries = [entry for entry in recorded(folder) if entry.pid != but]
    names = []
    for wave in sorted({entry.wave for entry in entries}):
        names += [e.name for e in end((e for e in entries if e.wave == wave), grace_s=grace_s)]
    for entry in entries:
        forget(folder, entry)
    return names
