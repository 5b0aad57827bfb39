"""Allow one stack for each data folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
from typing import IO, TYPE_CHECKING

from project.stack.errors import AlreadyRunningError, StackError
from project.stack.signals import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from project.stack.local_dir import LocalDir

STOP_WAIT_S = 60.0


class Instance:
    """The lock of this process on the data folder."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.announce(None)

    def announce(self, url: str | None) -> None:
        """Write the pid and the address of this stack into the lock file."""
        self._file.seek(0)
        self._file.truncate()
        json.dump({"pid": os.getpid(), "url": url}, self._file)
        self._file.flush()


@contextlib.contextmanager
def single_instance(local: LocalDir) -> Iterator[Instance]:
    """Lock the data folder while the context lasts. The kernel unlocks it after a hard kill.

    Raises:
        AlreadyRunningError: with the other stack's pid and address.
    """
    with local.lock_file.open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            other = _read(local)
            raise AlreadyRunningError(
                f"a stack of this checkout runs already: pid {other.get('pid')}, "
                f"{other.get('url') or 'still starting'}; stop it with `make stop`"
            ) from None
        yield Instance(file)


def stop_running(local: LocalDir) -> bool:
    """Stop the stack that runs here, and wait for its end.

    Returns:
        Whether a stack ran.

    Raises:
        StackError: it does not end in time.
    """
    if not local.lock_file.exists() or not _is_locked(local):
        return False
    pid = _read(local).get("pid")
    if isinstance(pid, int):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    if not wait_until(lambda: not _is_locked(local), timeout_s=STOP_WAIT_S):
        raise StackError(
            f"the stack, pid {pid}, still runs {STOP_WAIT_S:.0f} s after SIGTERM:"
            f" read {local.logs}, or end it with `kill -KILL {pid}`"
        )
    return True


def _is_locked(local: LocalDir) -> bool:
    with local.lock_file.open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _read(local: LocalDir) -> dict[str, object]:
    try:
        found = json.loads(local.lock_file.read_text())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
