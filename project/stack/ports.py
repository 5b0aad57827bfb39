"""Find free ports on the loopback address, so that two checkouts can run side by side."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from project.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
TRIES = 100


def is_free(port: int) -> bool:
    """Return whether no process listens on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: closed connections of an earlier run do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


@contextlib.contextmanager
def take_port(preferred: int) -> Iterator[int]:
    """Reserve the preferred port or the next free one while the context lasts.

    The reservation is a lock in the temporary folder that other stacks of this user respect.
    Otherwise two stacks that start at the same moment would choose the same port.

    Raises:
        StackError: a hundred ports are taken.
    """
    folder = Path(tempfile.gettempdir()) / f"aifeature-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for port in range(preferred, preferred + TRIES):
        # POSIX locks belong to this process. Its children do not inherit them.
        with (folder / str(port)).open("w") as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            if not is_free(port):
                continue
            yield port
            return
    raise StackError(f"no free port between {preferred} and {preferred + TRIES - 1}")
