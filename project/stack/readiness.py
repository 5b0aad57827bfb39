"""Checks that a component is ready. Each sends it a request or reads its log."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from typing import TYPE_CHECKING

from project.stack.ports import HOST

if TYPE_CHECKING:
    from pathlib import Path

Check = Callable[[], bool]
"""Called repeatedly until it returns true."""

TIMEOUT_S = 2.0


def answers(port: int, path: str, *, below: int = 400) -> Check:
    """Return a check that the component answers GET with a status below the given one."""

    def check() -> bool:
        connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().status < below
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return check


def logged(log: Path, text: str) -> Check:
    """Return a check that the component's log contains the text."""

    def check() -> bool:
        try:
            return text in log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return False

    return check
