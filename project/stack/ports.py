"""Free ports on the loopback address, so that two checkouts can run side by side."""

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
    """Whether nobody listens on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections of an earlier run that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


@contextlib.contextmanager
def take_port(preferred: int) -> Iterator[int]:
    """The preferred port, or the next one that is free, reserved while the context lasts.

    The reservation is a lock in the temporary folder that other stacks of this user respect:
    two that start at the same moment would otherwise both find the same port free.

    Raises:
        StackError: none of the next hundred ports is free.
    """
    folder = Path(tempfile.gettempdir()) / f"aifeature-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for port in range(preferred, preferred + TRIES):
        # POSIX locks belong to this process alone: forked keepers do not hold on to them.
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
