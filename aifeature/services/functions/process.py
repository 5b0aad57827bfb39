"""The process of the functions: loads all features once, and forks a child for each connection.

A forked child has the code that was loaded at the start, even if the files have changed since, and
is ready after a few milliseconds. This process has one thread, so that it can fork safely.

Each message from the worker is a pid. 0 comes with a connection for a new child, and is answered
with the child's pid, or with a negative error number if the machine has no room. The pid of a child
ends that child, and is answered with its wait status. When the worker ends, its side of the socket
closes, and this process ends all children and itself.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aifeature import features, registry
from aifeature.services.functions import function
from aifeature.services.functions.host import NUMBER
from aifeature.spec import Feature


def main(control: socket.socket, folders: list[str]) -> None:
    """Load the features in these folders, and serve a worker until it closes the socket."""
    for signum in (signal.SIGINT, signal.SIGTERM):  # running jobs need their functions in a drain
        signal.signal(signum, signal.SIG_IGN)
    features.__path__ = folders
    found = registry.all_features()
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())  # a later line could quote a user's text
    gc.freeze()  # otherwise a collection in a child would copy the memory that they share
    children: set[int] = set()
    try:
        control.sendall(NUMBER.pack(0))
        while True:
            message, received, _, _ = socket.recv_fds(control, NUMBER.size, 1)
            if not message:
                return
            (pid,) = NUMBER.unpack(message)
            if pid:
                children.remove(pid)
                reply = _end(pid)
            else:
                reply = _fork(found, received[0], control) if received else -errno.EMFILE
                if reply > 0:
                    children.add(reply)
            control.sendall(NUMBER.pack(reply))
    except OSError:  # the worker has ended
        return
    finally:
        for pid in children:
            _end(pid)


def _fork(found: Mapping[str, Feature], connection: int, control: socket.socket) -> int:
    try:
        pid = os.fork()
    except OSError as error:  # of the machine: the other children go on
        os.close(connection)
        return -(error.errno or errno.EAGAIN)
    if pid:
        os.close(connection)
        os.setpgid(pid, pid)  # so that what it starts ends with it
        return pid
    try:
        control.close()
        with socket.socket(fileno=connection) as own:
            serve(found, own)
    finally:
        os._exit(0)


def _end(pid: int) -> int:
    with suppress(ProcessLookupError, PermissionError):  # it has already ended
        os.killpg(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def serve(found: Mapping[str, Feature], connection: socket.socket) -> None:
    """Answer each call that comes through the connection, until the worker closes it."""
    with connection.makefile("rb") as calls:
        for line in calls:
            call = json.loads(line)
            # If its worker and its parent are gone, the kernel ends it, also within C code.
            signal.setitimer(signal.ITIMER_REAL, call["end_s"])
            reply = _reply(found.get(call["slug"]), call)
            signal.setitimer(signal.ITIMER_REAL, 0)
            # A thread that the function left behind would disturb the next call.
            reply["reusable"] = threading.active_count() == 1
            connection.sendall(json.dumps(reply).encode() + b"\n")


def _reply(feature: Feature | None, call: Mapping[str, Any]) -> dict[str, Any]:
    if feature is None:  # this process was replaced, and the files are of another release
        return {"is_missing": True}
    try:
        return {"result": function.result_of(feature, call["name"], call["given"], call["answer"])}
    except BaseException as error:  # noqa: BLE001 (the code of a feature may raise anything)
        return {"raised": type(error).__name__, "place": _place(error)}


def _place(error: BaseException) -> str:
    """Return the innermost line of the traceback, of a feature if there is one. No values."""
    lines = [
        f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}, line {line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [line for line in lines if line.startswith(f"{features.__name__}.")]
    return (own or lines)[-1]


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
